import type { CoordinatorError } from '../coordinator/errors.js';
import { messageOf } from '../coordinator/gate/texts.js';
import {
  DamagedLogError,
  FormerLogError,
  LogInUseError,
  LogNotOpenedError,
  RecordRefusedError,
  UnknownLogFormatError,
} from '../coordinator/log/log-errors.js';
import type { Write } from './batch.js';
import { FORMAT_VERSION } from './census.js';
import type { Refusals } from '../coordinator/log/group-commit.js';
import { type Failure, LogFailure, type Written } from './messages.js';

/** @returns the error that stops a start. */
export function errorOf(failure: Failure, folder: string): CoordinatorError {
  switch (failure.kind) {
    case 'in-use':
      return new LogInUseError(folder);
    case 'damaged':
      return new DamagedLogError(failure.record, failure.problem);
    case 'format':
      return new UnknownLogFormatError(failure.found, FORMAT_VERSION);
    case 'former':
      return new FormerLogError(failure.file);
    case 'full':
    case 'failed':
      return new LogNotOpenedError(folder, new Error(failure.problem));
  }
}

/** @returns a description of the failure. */
export function problemOf(error: unknown): string {
  if (!(error instanceof LogFailure)) return messageOf(error);
  return 'problem' in error.failure ? error.failure.problem : error.failure.kind;
}

/** @returns the refusals of a group, by place. A note is never refused: it only removes records. */
export function refusalsOf(
  refused: Written['refused'],
  writes: readonly Write[],
  group: readonly Write[],
): Refusals {
  const refusals = new Map<number, Error>();
  if (refused.length === 0) return refusals;
  const indices = new Map(group.map((write, index) => [write, index]));
  for (const [index, problem] of refused) {
    const write = writes[index]!;
    refusals.set(indices.get(write)!, new RecordRefusedError(write.key, problem));
  }
  return refusals;
}
