/** Leads whoever has lost the focus to the heading of the page, which says where they are. */
export function focusHeading(): void {
  document.querySelector<HTMLElement>('main h1')?.focus();
}
