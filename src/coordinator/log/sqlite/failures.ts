import type { CoordinatorError } from '../../errors.js';
import {
  DamagedLogError,
  FormerLogError,
  LogInUseError,
  LogNotOpenedError,
  UnknownLogFormatError,
} from '../log-errors.js';
import { FORMAT_VERSION } from './census.js';
import type { Failure } from './messages.js';

/** @returns the error for what has stopped a start. */
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
