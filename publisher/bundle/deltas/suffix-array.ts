/**
 * Sorts all suffixes of a text in linear time by induced sorting (SA-IS: Nong, Zhang, Chan 2009),
 * in the form of Yuta Mori's sais: the only large memory is the array of the result, in whose free
 * parts the reduced texts are sorted. 100 MB take 400 MB of memory. Sans-I/O.
 */

type Text = Uint8Array | Int32Array;

/**
 * The text, how many symbols it has, and two tables of its symbols. `counts` and `buckets` may be
 * the same table where memory is short: then counts are taken again each time.
 */
interface Sorting {
  readonly text: Text;
  readonly order: Int32Array;
  readonly counts: Int32Array;
  readonly buckets: Int32Array;
  readonly symbols: number;
}

const BYTES = 256;

/** Places of all suffixes of the text, the least suffix first. A suffix ends with the text. */
export function suffixArray(text: Uint8Array): Int32Array {
  const order = new Int32Array(text.length);
  if (text.length > 1) sort(text, order, 0, BYTES);
  return order;
}

/** @param free entries of `order` behind those of the text */
function sort(text: Text, order: Int32Array, free: number, symbols: number): void {
  const length = text.length;
  const sorting = { text, order, symbols, ...tables(order, length, { free, symbols }) };
  const found = placeEnds(sorting);
  let names = found;
  if (found > 1) {
    sortPieces(sorting);
    names = namePieces(sorting, found);
  }
  if (names < found) sortReduced(sorting, { found, names, free });
  spread(sorting, found);
  induce(sorting);
}

function tables(
  order: Int32Array,
  length: number,
  { free, symbols }: { free: number; symbols: number },
): Pick<Sorting, 'counts' | 'buckets'> {
  if (symbols * 2 <= free) {
    return {
      counts: order.subarray(length, length + symbols),
      buckets: order.subarray(length + symbols, length + symbols * 2),
    };
  }
  if (symbols <= BYTES)
    return { counts: new Int32Array(symbols), buckets: new Int32Array(symbols) };
  const one = symbols <= free ? order.subarray(length, length + symbols) : new Int32Array(symbols);
  return { counts: one, buckets: one };
}

function count({ text, counts, symbols }: Sorting): void {
  counts.fill(0, 0, symbols);
  for (let at = 0; at < text.length; at += 1) (counts[text[at] as number] as number)++;
}

function toStarts(sorting: Sorting): void {
  const { counts, buckets, symbols } = sorting;
  if (counts === buckets) count(sorting);
  let sum = 0;
  for (let symbol = 0; symbol < symbols; symbol += 1) {
    const many = counts[symbol] as number;
    buckets[symbol] = sum;
    sum += many;
  }
}

function toEnds(sorting: Sorting): void {
  const { counts, buckets, symbols } = sorting;
  if (counts === buckets) count(sorting);
  let sum = 0;
  for (let symbol = 0; symbol < symbols; symbol += 1) {
    sum += counts[symbol] as number;
    buckets[symbol] = sum;
  }
}

/**
 * Calls back with each place, from the last to the first, at which a suffix is less than the one
 * after it and the one before it is not: the left ends of rising pieces.
 */
function eachEnd(text: Text, use: (place: number) => void): void {
  let at = text.length - 1;
  let next = text[at] as number;
  let here = next;
  const back = (): boolean => {
    at -= 1;
    if (at < 0) return false;
    here = text[at] as number;
    return true;
  };
  do next = here;
  while (back() && here >= next);
  while (at >= 0) {
    do next = here;
    while (back() && here <= next);
    if (at < 0) return;
    use(at + 1);
    do next = here;
    while (back() && here >= next);
  }
}

/** Puts the place before each left end into its bucket; returns how many there are. */
function placeEnds(sorting: Sorting): number {
  const { text, order, buckets } = sorting;
  count(sorting);
  toEnds(sorting);
  order.fill(0, 0, text.length);
  let slot = -1;
  let last = 0;
  let found = 0;
  eachEnd(text, (place) => {
    if (slot >= 0) order[slot] = last;
    const symbol = text[place] as number;
    slot = (buckets[symbol] as number) - 1;
    buckets[symbol] = slot;
    last = place - 1;
    found += 1;
  });
  if (found === 1) order[slot] = last + 1;
  return found;
}

/** Sorts the rising pieces; a piece that is in its place is kept as its complement. */
function sortPieces(sorting: Sorting): void {
  const { text, order, buckets } = sorting;
  toStarts(sorting);
  let at = text.length - 1;
  let symbol = text[at] as number;
  let slot = buckets[symbol] as number;
  at -= 1;
  order[slot++] = (text[at] as number) < symbol ? ~at : at;
  for (let nth = 0; nth < text.length; nth += 1) {
    at = order[nth] as number;
    if (at > 0) {
      const here = text[at] as number;
      if (here !== symbol) {
        buckets[symbol] = slot;
        symbol = here;
        slot = buckets[symbol] as number;
      }
      at -= 1;
      order[slot++] = (text[at] as number) < symbol ? ~at : at;
      order[nth] = 0;
    } else if (at < 0) order[nth] = ~at;
  }
  toEnds(sorting);
  symbol = 0;
  slot = buckets[symbol] as number;
  for (let nth = text.length - 1; nth >= 0; nth -= 1) {
    at = order[nth] as number;
    if (at <= 0) continue;
    const here = text[at] as number;
    if (here !== symbol) {
      buckets[symbol] = slot;
      symbol = here;
      slot = buckets[symbol] as number;
    }
    at -= 1;
    order[--slot] = (text[at] as number) > symbol ? ~(at + 1) : at;
    order[nth] = 0;
  }
}

/** Gives equal pieces one name, in their order, and returns how many names there are. */
function namePieces({ text, order }: Sorting, found: number): number {
  let filled = 0;
  for (let nth = 0; filled < found; nth += 1) {
    const place = order[nth] as number;
    if (place >= 0) continue;
    order[nth] = 0;
    order[filled++] = ~place;
  }
  let end = text.length;
  order.fill(0, found, text.length);
  eachEnd(text, (place) => {
    order[found + (place >> 1)] = end - place;
    end = place + 1; // pieces share their ends
  });
  let names = 0;
  let last = text.length;
  let lastLength = 0;
  for (let nth = 0; nth < found; nth += 1) {
    const place = order[nth] as number;
    const length = order[found + (place >> 1)] as number;
    let same = 0;
    if (length === lastLength && last + length < text.length) {
      while (same < length && text[place + same] === text[last + same]) same += 1;
    }
    if (same < length || length === 0) {
      names += 1;
      last = place;
      lastLength = length;
    }
    order[found + (place >> 1)] = names;
  }
  return names;
}

/** Sorts the text of names, and from it the left ends, into the first entries. */
function sortReduced(
  { text, order }: Sorting,
  { found, names, free }: { found: number; names: number; free: number },
): void {
  const room = text.length + free - found * 2;
  const reduced = order.subarray(found + room, found * 2 + room);
  let to = found;
  for (let nth = found + (text.length >> 1) - 1; nth >= found; nth -= 1) {
    const name = order[nth] as number;
    if (name !== 0) reduced[--to] = name - 1;
  }
  sort(reduced, order, room, names);
  to = found;
  eachEnd(text, (place) => {
    reduced[--to] = place;
  });
  for (let nth = 0; nth < found; nth += 1) order[nth] = reduced[order[nth] as number] as number;
}

/** Moves the sorted left ends from the first entries to the ends of their buckets. */
function spread(sorting: Sorting, found: number): void {
  const { text, order, buckets } = sorting;
  count(sorting);
  toEnds(sorting);
  if (found < 2) return;
  let to = text.length;
  let nth = found - 1;
  while (nth >= 0) {
    const symbol = text[order[nth] as number] as number;
    const end = buckets[symbol] as number;
    while (to > end) order[--to] = 0;
    while (nth >= 0 && text[order[nth] as number] === symbol) {
      order[--to] = order[nth] as number;
      nth -= 1;
    }
  }
  order.fill(0, 0, to);
}

/** Sorts all suffixes from the left ends that are in their buckets. */
function induce(sorting: Sorting): void {
  const { text, order, buckets } = sorting;
  toStarts(sorting);
  let at = text.length - 1;
  let symbol = text[at] as number;
  let slot = buckets[symbol] as number;
  order[slot++] = at > 0 && (text[at - 1] as number) < symbol ? ~at : at;
  for (let nth = 0; nth < text.length; nth += 1) {
    at = order[nth] as number;
    order[nth] = ~at;
    if (at <= 0) continue;
    at -= 1;
    const here = text[at] as number;
    if (here !== symbol) {
      buckets[symbol] = slot;
      symbol = here;
      slot = buckets[symbol] as number;
    }
    order[slot++] = at > 0 && (text[at - 1] as number) < symbol ? ~at : at;
  }
  toEnds(sorting);
  symbol = 0;
  slot = buckets[symbol] as number;
  for (let nth = text.length - 1; nth >= 0; nth -= 1) {
    at = order[nth] as number;
    if (at <= 0) {
      order[nth] = ~at;
      continue;
    }
    at -= 1;
    const here = text[at] as number;
    if (here !== symbol) {
      buckets[symbol] = slot;
      symbol = here;
      slot = buckets[symbol] as number;
    }
    order[--slot] = at === 0 || (text[at - 1] as number) > symbol ? ~at : at;
  }
}
