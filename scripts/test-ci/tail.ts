/** The last part of an output that may be long. */
export class Tail {
  private readonly chunks: string[] = [];
  private kept = 0;
  private dropped = 0;

  private readonly limit: number;

  /** @param limit in characters; the last chunk is kept whatever its length is. */
  constructor(limit: number) {
    this.limit = limit;
  }

  add(chunk: string): void {
    this.chunks.push(chunk);
    this.kept += chunk.length;
    while (this.kept > this.limit && this.chunks.length > 1) {
      const { length } = this.chunks.shift()!;
      this.kept -= length;
      this.dropped += length;
    }
  }

  /** What is kept; its first line says when something was dropped. */
  get text(): string {
    const text = this.chunks.join('');
    return this.dropped === 0 ? text : `[${this.dropped} characters before this are left out]\n${text}`;
  }
}
