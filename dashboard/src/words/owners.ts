/** @returns what to call the member that owns a transaction. */
export function nameOfOwner({ epoch, member }: { readonly epoch: number; readonly member: string }): string {
  return member === '' ? `epoch ${epoch}` : `${member}, epoch ${epoch}`;
}

/** @returns the epochs that a member has adopted and that are not settled yet, in words. */
export function adoptedBy(
  members: readonly { readonly epoch: number; readonly adoptedBy: number | null }[],
  epoch: number,
): string {
  const adopted = members.filter((member) => member.adoptedBy === epoch).map((member) => member.epoch);
  return adopted.length === 0 ? '–' : `epoch ${adopted.join(', ')}`;
}
