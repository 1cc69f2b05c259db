/** Makes new inputs out of old ones: bytes, words of the format, and pieces of other inputs. Pure. */

import { utf8 } from '../../shared/crypto/bytes.ts';
import type { Random } from '../sim/random.ts';

/** Numbers at which lengths and counters turn over. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff];
const EDGE_WORDS = [
  ...['0', '-1', '1e999', '9007199254740993', '2147483648', 'null', 'true', '""', '[]', '{}'],
  ...['"__proto__":', '\\u0000', '\\ud800', '../', '/', '%00', '\n', '\u202e', '🤖', 'NaN'],
];

type Mutation = (input: Uint8Array, random: Random, more: Material) => Uint8Array;

export interface Material {
  readonly words: readonly string[];
  readonly others: readonly Uint8Array[];
  readonly bytesMax: number;
}

const at = (input: Uint8Array, random: Random): number => random.between(0, input.byteLength);

function spliced(input: Uint8Array, from: number, to: number, middle: Uint8Array): Uint8Array {
  const made = new Uint8Array(from + middle.byteLength + Math.max(0, input.byteLength - to));
  made.set(input.subarray(0, from));
  made.set(middle, from);
  made.set(input.subarray(to), from + middle.byteLength);
  return made;
}

function changed(
  input: Uint8Array,
  change: (bytes: Uint8Array, at: number) => void,
  random: Random,
) {
  const bytes = input.slice();
  if (bytes.byteLength > 0) change(bytes, random.between(0, bytes.byteLength - 1));
  return bytes;
}

const flipBit: Mutation = (input, random) =>
  changed(input, (bytes, place) => (bytes[place]! ^= 1 << random.between(0, 7)), random);

const setByte: Mutation = (input, random) =>
  changed(input, (bytes, place) => (bytes[place] = random.between(0, 255)), random);

/** A number of one, two or four bytes, in either order. */
const setEdge: Mutation = (input, random) =>
  changed(
    input,
    (bytes, place) => {
      const width = random.pick([1, 2, 4]);
      if (place + width > bytes.byteLength) return;
      const view = new DataView(bytes.buffer, bytes.byteOffset + place, width);
      const value = random.pick(EDGES);
      if (width === 1) view.setUint8(0, value);
      else if (width === 2) view.setUint16(0, value, random.chance(0.5));
      else view.setUint32(0, value, random.chance(0.5));
    },
    random,
  );

const cutEnd: Mutation = (input, random) => input.subarray(0, at(input, random));

const removeRange: Mutation = (input, random) => {
  const [one, two] = [at(input, random), at(input, random)];
  return spliced(input, Math.min(one, two), Math.max(one, two), new Uint8Array());
};

const repeatRange: Mutation = (input, random) => {
  const from = at(input, random);
  const piece = input.subarray(from, from + random.between(1, 64));
  const times = random.pick([1, 2, 8, 200]);
  const many = new Uint8Array(piece.byteLength * times);
  for (let turn = 0; turn < times; turn += 1) many.set(piece, turn * piece.byteLength);
  return spliced(input, from, from, many);
};

const putWord: Mutation = (input, random, { words }) => {
  const word = utf8(random.pick([...words, ...EDGE_WORDS]));
  const from = at(input, random);
  const over = random.chance(0.5) ? from + word.byteLength : from;
  return spliced(input, from, Math.min(over, input.byteLength), word);
};

const crossOver: Mutation = (input, random, { others }) => {
  const other = random.pick(others);
  const from = at(other, random);
  const piece = other.subarray(from, from + random.between(1, 512));
  const place = at(input, random);
  return spliced(
    input,
    place,
    Math.min(place + random.pick([0, piece.byteLength]), input.byteLength),
    piece,
  );
};

/** A value of a JSON document becomes another value of the same or of another document. */
const swapValues: Mutation = (input, random, { others }) => {
  const [into, from] = [valuesIn(input), random.pick(others)];
  const values = valuesIn(from);
  if (into.length === 0 || values.length === 0) return input;
  const [target, source] = [random.pick(into), random.pick(values)];
  return spliced(input, target.from, target.to, from.subarray(source.from, source.to));
};

/** Numbers, words and strings of a text, near enough to JSON. */
function valuesIn(input: Uint8Array): { from: number; to: number }[] {
  const text = Buffer.from(input.buffer, input.byteOffset, input.byteLength).toString('latin1');
  const pattern = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null/g;
  return [...text.matchAll(pattern)].map(({ index, 0: value }) => ({
    from: index,
    to: index + value.length,
  }));
}

const MUTATIONS: readonly Mutation[] = [
  ...[flipBit, setByte, setEdge, cutEnd, removeRange, repeatRange],
  ...[putWord, putWord, crossOver, swapValues, swapValues],
];

/** One to six changes, few more often than many; never longer than `bytesMax`. */
export function mutate(input: Uint8Array, random: Random, material: Material): Uint8Array {
  let made = input;
  do {
    made = random.pick(MUTATIONS)(made, random, material).subarray(0, material.bytesMax);
  } while (random.chance(0.45));
  return made.slice();
}
