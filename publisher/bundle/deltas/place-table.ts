/**
 * Maps the key of a place to where it was first seen, by open addressing in typed arrays: a
 * gigabyte has a million places, and a Map of them would take a hundred times the bytes. Sans-I/O.
 */

const EMPTY = -1;
/** Fill level at which the table grows. */
const LOAD_MAX = 0.6;

export class PlaceTable {
  #keys = new Uint32Array(1024);
  #places = new Float64Array(1024).fill(EMPTY);
  #size = 0;

  get(key: number): number | null {
    const slot = this.#slotOf(key);
    const place = this.#places[slot] as number;
    return place === EMPTY ? null : place;
  }

  /** The first place of a key stays. */
  add(key: number, place: number): void {
    const slot = this.#slotOf(key);
    if (this.#places[slot] !== EMPTY) return;
    this.#keys[slot] = key;
    this.#places[slot] = place;
    this.#size += 1;
    if (this.#size > this.#keys.length * LOAD_MAX) this.#grow();
  }

  #slotOf(key: number): number {
    const mask = this.#keys.length - 1;
    // The upper bits of a product depend on all bits of the key.
    let slot = Math.imul(key, 0x9e3779b1) >>> Math.clz32(mask);
    while (this.#places[slot] !== EMPTY && this.#keys[slot] !== key) slot = (slot + 1) & mask;
    return slot;
  }

  #grow(): void {
    const [keys, places] = [this.#keys, this.#places];
    this.#keys = new Uint32Array(keys.length * 2);
    this.#places = new Float64Array(keys.length * 2).fill(EMPTY);
    for (let at = 0; at < keys.length; at += 1) {
      if (places[at] === EMPTY) continue;
      const slot = this.#slotOf(keys[at] as number);
      this.#keys[slot] = keys[at] as number;
      this.#places[slot] = places[at] as number;
    }
  }
}
