/** A place for log lines to go, for tests that read them. */
export class CapturedLog {
  text = '';

  write(text: string): void {
    this.text += text;
  }

  get lines(): Record<string, unknown>[] {
    return this.text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}
