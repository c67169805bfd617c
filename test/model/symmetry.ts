/**
 * Sorts the words of parts that have no names, so that states alike become equal.
 *
 * @returns how many states are alike: the number of orders of these words.
 */
export function sortParts(words: Int32Array, at: number, size: number): number {
  let orders = 1;
  for (let part = 1; part < size; part++) {
    const word = words[at + part]!;
    let place = part;
    let equals = 1;
    while (place > 0 && words[at + place - 1]! >= word) {
      if (words[at + place - 1] === word) break;
      words[at + place] = words[at + place - 1]!;
      place--;
    }
    words[at + place] = word;
    for (let before = place - 1; before >= 0 && words[at + before] === word; before--) equals++;
    orders = (orders * (part + 1)) / equals;
  }
  return orders;
}
