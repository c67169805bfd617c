import { Inject, Injectable, Module, Scope } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { CoordinatorError, CoordinatorModule, Participant } from '../../src/coordinator/index.js';
import { start, startWith } from './support/applications.js';
import { Alpha, Willing } from './support/participants.js';

/** @returns what stopped the start. */
async function errorOf(starting: Promise<unknown>): Promise<CoordinatorError> {
  const error = await starting.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CoordinatorError)) throw new Error(`Not stopped as expected: ${String(error)}`);
  return error;
}

describe('a participant that cannot be one stops the start', () => {
  for (const missing of ['prepare', 'commit', 'rollback'] as const) {
    it(`when it has no ${missing}(): with the class, the method and the remedy`, async () => {
      class Lacking extends Willing {}
      Object.defineProperty(Lacking.prototype, missing, { value: undefined });
      Participant({ name: 'lacking' })(Lacking);

      const error = await errorOf(startWith([Lacking]));

      expect(error.code).toBe('DTC_INVALID_PARTICIPANT');
      expect(error.message).toBe(
        `Lacking cannot be a participant: it has no method ${missing}(). ` +
          'Implement TransactionParticipant: prepare, commit and rollback.',
      );
    });
  }

  it('when two classes have one name: with both classes and the remedy', async () => {
    @Participant({ name: 'alpha' })
    class Usurper extends Willing {}

    const error = await errorOf(startWith([Alpha, Usurper]));

    expect(error.code).toBe('DTC_DUPLICATE_PARTICIPANT');
    expect(error.message).toBe(
      'Usurper and Alpha are both registered as participant "alpha". ' +
        'Give each a name of its own, and provide each class in one module only.',
    );
  });

  it('when one class is provided in two modules, and so has two instances', async () => {
    @Module({ providers: [Alpha] })
    class Feature {}

    const error = await errorOf(
      start({ imports: [Feature, CoordinatorModule.forRoot()], providers: [Alpha] }),
    );

    expect(error.code).toBe('DTC_DUPLICATE_PARTICIPANT');
    expect(error.message).toMatch(/^Alpha and Alpha .* provide each class in one module only\.$/);
  });

  const scopeMend = 'Make it, and everything it injects, a default-scoped provider.';

  for (const [scope, name] of [
    [Scope.REQUEST, 'request-scoped'],
    [Scope.TRANSIENT, 'transient'],
  ] as const) {
    it(`when it is ${name}: a decision may be delivered long after the request`, async () => {
      @Injectable({ scope })
      class Scoped extends Willing {}
      // The scope is set after the decorator, which makes a provider of the default one.
      Participant({ name: 'scoped' })(Scoped);
      Injectable({ scope })(Scoped);

      const error = await errorOf(startWith([Scoped]));

      expect(error.code).toBe('DTC_INVALID_PARTICIPANT');
      expect(error.message).toMatch(/^Scoped cannot be a participant: it is request-scoped or transient, /);
      expect(error.message).toContain(scopeMend);
    });
  }

  it('when it injects something request-scoped, which makes it request-scoped too', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest {}

    @Injectable()
    class Between {
      constructor(@Inject(PerRequest) readonly perRequest: PerRequest) {}
    }

    @Participant({ name: 'infected' })
    class Infected extends Willing {
      constructor(@Inject(Between) readonly between: Between) {
        super();
      }
    }

    const error = await errorOf(startWith([PerRequest, Between, Infected]));

    expect(error.code).toBe('DTC_INVALID_PARTICIPANT');
    expect(error.message).toContain('Infected');
    expect(error.message).toContain(scopeMend);
  });

  const impossible: [option: string, options: object][] = [
    ['name', { name: 'Not A Name' }],
    ['name', {}],
    ['prepareTimeoutMs', { name: 'odd', prepareTimeoutMs: 0 }],
    ['prepareTimeoutMs', { name: 'odd', prepareTimeoutMs: 1.5 }],
    ['completionTimeoutMs', { name: 'odd', completionTimeoutMs: -1 }],
    ['completionTimeoutMs', { name: 'odd', completionTimeoutMs: 86_400_001 }],
    ['maxAttempts', { name: 'odd', maxAttempts: 0 }],
    ['retryBaseMs', { name: 'odd', retryBaseMs: Number.NaN }],
    ['retryCapMs', { name: 'odd', retryCapMs: '5' }],
    ['ambient', { name: 'odd', ambient: 'yes' }],
    ['prepareTimeOutMs', { name: 'odd', prepareTimeOutMs: 500 }],
  ];
  for (const [option, options] of impossible) {
    it(`when its options are ${JSON.stringify(options)}: naming the class and "${option}"`, async () => {
      @Participant(options as { name: string })
      class Odd extends Willing {}

      const error = await errorOf(startWith([Odd]));

      expect(error.code).toBe('DTC_INVALID_OPTIONS');
      expect(error.message).toMatch(/^The options of @Participant on Odd cannot be used: /);
      expect(error.message).toContain(option);
    });
  }
});

describe('impossible options of the coordinator stop the start', () => {
  const impossible: [option: string, options: object][] = [
    ['name', { name: 'Cap' }],
    ['timeoutMs', { timeoutMs: 0 }],
    ['prepareTimeoutMs', { prepareTimeoutMs: '100' }],
    ['completionTimeoutMs', { completionTimeoutMs: Number.POSITIVE_INFINITY }],
    ['completionWaitMs', { completionWaitMs: -5 }],
    ['maxAttempts', { maxAttempts: 1_001 }],
    ['retryBaseMs', { retryBaseMs: 0 }],
    ['retryCapMs', { retryCapMs: 0.5 }],
    ['recoveryIntervalMs', { recoveryIntervalMs: 0 }],
    ['recoveryConcurrency', { recoveryConcurrency: 0 }],
    ['sweepIntervalMs', { sweepIntervalMs: 0 }],
    ['maxBranches', { maxBranches: 1_000 }],
    ['maxInFlight', { maxInFlight: 0 }],
    ['maxStalled', { maxStalled: 0 }],
    ['retainFinished', { retainFinished: -1 }],
    ['retainFinishedMs', { retainFinishedMs: 0 }],
    ['shutdownGraceMs', { shutdownGraceMs: 0 }],
    ['timeOutMs', { timeOutMs: 5_000 }],
  ];
  for (const [option, options] of impossible) {
    it(`forRoot(${JSON.stringify(options)}): naming "${option}"`, async () => {
      const error = await errorOf(startWith([], options));

      expect(error.code).toBe('DTC_INVALID_OPTIONS');
      expect(error.message).toMatch(/^The options of CoordinatorModule cannot be used: /);
      expect(error.message).toContain(option);
    });
  }

  it('forRootAsync, as forRoot', async () => {
    const coordinator = CoordinatorModule.forRootAsync({ useFactory: () => ({ maxAttempts: 0 }) });

    const error = await errorOf(start({ imports: [coordinator] }));

    expect(error.code).toBe('DTC_INVALID_OPTIONS');
    expect(error.message).toContain('maxAttempts');
  });

  it('every problem is named, not only the first', async () => {
    const error = await errorOf(startWith([], { timeoutMs: 0, maxBranches: 0 }));

    expect(error.message).toContain('timeoutMs');
    expect(error.message).toContain('maxBranches');
  });
});
