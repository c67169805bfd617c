import type { ParticipantMethod } from '../../execution/trace.js';

const MAX_NAMES = 100;

const METHOD_NAMES: Record<ParticipantMethod, string> = {
  prepare: 'prepare',
  commit: 'commit',
  rollback: 'rollback',
  commitOnePhase: 'one-phase commit',
};

/**
 * The names of spans. Backends keep statistics for each name, so there must be few names. The name of a
 * transaction is part of its span's name, but callers choose it and may put ids into it. So only the first
 * hundred names are used.
 */
export class SpanNames {
  private readonly known = new Map<string, string>();

  ofTransaction(name: string): string {
    const known = this.known.get(name);
    if (known !== undefined) return known;
    if (this.known.size >= MAX_NAMES) return 'transaction';
    const made = `transaction ${name}`;
    this.known.set(name, made);
    return made;
  }

  ofCall(method: ParticipantMethod, participant: string): string {
    return `${METHOD_NAMES[method]} ${participant}`;
  }
}
