/** @returns what to call the member that owns a transaction. */
export function nameOfOwner({ epoch, member }: { readonly epoch: number; readonly member: string }): string {
  return member === '' ? `epoch ${epoch}` : `${member}, epoch ${epoch}`;
}
