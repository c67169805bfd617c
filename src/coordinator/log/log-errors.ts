import { CoordinatorError } from '../errors.js';
import { messageOf } from '../gate/texts.js';

/** The log is held by another process that lives, or by another coordinator of this one. @publicApi */
export class LogInUseError extends CoordinatorError {
  readonly code = 'DTC_LOG_IN_USE';

  constructor(readonly path: string) {
    super(
      `The decision log in ${path} is in use. Another process holds it, or another coordinator in this process, which may ` +
        'be one whose start has failed. End that one first, or give this coordinator a name or a folder of its own.',
    );
  }
}

/** A record of the log is not as it was written, so nothing may be presumed of any transaction. @publicApi */
export class DamagedLogError extends CoordinatorError {
  readonly code = 'DTC_LOG_DAMAGED';

  constructor(
    readonly record: string,
    problem: string,
  ) {
    super(
      `The decision log is damaged at "${record}": ${problem}. Nothing was changed. Bring back a copy of the log only ` +
        'if it has every decision made since: what an older one lacks would be rolled back. With none, settle the prepared ' +
        'branches of the participants by hand before you start on an empty one.',
    );
  }
}

/** The log was written by another version of this library. @publicApi */
export class UnknownLogFormatError extends CoordinatorError {
  readonly code = 'DTC_LOG_FORMAT';

  constructor(
    readonly found: number,
    readonly known: number,
  ) {
    super(
      `The decision log has records of format ${found}, and this version knows format ${known}. Nothing was changed. ` +
        'Start the version that wrote them, let it finish what is open, and then change over.',
    );
  }
}

/**
 * The folder holds a log of an earlier version of this library, which kept it in another database.
 *
 * @publicApi
 */
export class FormerLogError extends CoordinatorError {
  readonly code = 'DTC_LOG_FORMAT';

  constructor(readonly file: string) {
    super(
      `The decision log holds ${file}, which an earlier version of this library has written with LMDB, and which this ` +
        'version does not read. Nothing was changed. Start the earlier version and let it complete what is open; then move the ' +
        'folder away, and start this version on a new one.',
    );
  }
}

/** The log was started more often than a transaction id can count. @publicApi */
export class LogStartsUsedUpError extends CoordinatorError {
  readonly code = 'DTC_LOG_STARTS_USED_UP';

  constructor(readonly limit: number) {
    super(
      `The decision log has been started ${limit} times, which is as often as a transaction id can count. Nothing was ` +
        'changed. Let its last run complete what is open, settle the prepared branches that are left by hand, and start on ' +
        'an empty log.',
    );
  }
}

/** The log cannot be opened, for a reason that the operating system gives. @publicApi */
export class LogNotOpenedError extends CoordinatorError {
  readonly code = 'DTC_LOG_NOT_OPENED';

  constructor(
    readonly path: string,
    cause: unknown,
  ) {
    const reason = messageOf(cause);
    super(
      `The decision log in ${path} cannot be opened: ${reason}. Make sure that its disk has room and that ` +
        'this process may write to the folder. Then start again. No decision is lost.',
    );
  }
}

/**
 * A flush failed, so it is unknown what has reached the disk: the operating system may have dropped what it
 * could not write, and would report success the next time. Only a new start, which reads the log anew, finds
 * out.
 *
 * Source: Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020.
 *
 * @publicApi
 */
export class LogBrokenError extends CoordinatorError {
  readonly code = 'DTC_LOG_BROKEN';

  constructor(problem: string) {
    super(
      `The decision log could not be flushed (${problem}). This process writes and decides nothing more. ` +
        'Check the disk, then restart the process.',
    );
  }
}

/**
 * A log that several members share lacks something that it had acknowledged: its server was restored from a
 * backup, or a standby took over that did not have it. Nothing may be presumed of what it has lost.
 *
 * The numbers count the writes of the epoch: those that the log held when it last acknowledged one, and those
 * that it holds now.
 *
 * @publicApi
 */
export class LogBehindError extends CoordinatorError {
  readonly code = 'DTC_LOG_BEHIND';

  constructor(
    readonly epoch: number,
    readonly acknowledged: number,
    readonly found: number,
  ) {
    super(
      `The decision log held ${acknowledged} writes of epoch ${epoch} when it last acknowledged one, and holds ${found} now: it ` +
        'has lost decisions. This member decides nothing more, and no member rolls back what was prepared in that epoch. Bring ' +
        'back the server that has them, or settle those branches by hand; then restart this process.',
    );
  }
}

/**
 * A record could not be read again, or is too large, so it was not written. That says nothing about the next
 * one.
 *
 * @publicApi
 */
export class RecordRefusedError extends CoordinatorError {
  readonly code = 'DTC_RECORD_REFUSED';

  constructor(
    readonly record: string,
    problem: string,
  ) {
    super(
      `The decision log did not take "${record}": ${problem}. Nothing was written, and the transaction is aborted. Give its ` +
        'branches payloads that are smaller and less deeply nested. A payload can be the id of data that is stored elsewhere.',
    );
  }
}

/** The log cannot take decisions now, so nothing new is started. Safe to try again. @publicApi */
export class LogUnavailableError extends CoordinatorError {
  readonly code = 'DTC_LOG_UNAVAILABLE';

  /**
   * @param problem the error of the log. It is not in the message, which reaches clients: it may name files
   * and hosts.
   */
  constructor(readonly problem: string) {
    super(
      'The decision log takes no records now, so no transaction is started. What is decided goes on, and new ones are ' +
        'taken again as soon as the log works. GET /coordinator of OperationsModule says what is wrong with it.',
    );
  }
}
