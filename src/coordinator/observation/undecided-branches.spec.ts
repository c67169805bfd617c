import { afterEach, describe, expect, it, vi } from 'vitest';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import { OTHER_LOG_ID, claimOf, idOf } from '../../../test/support/identity.js';
import type { PreparedBranch } from '../participant/participant.js';
import { ScriptedParticipant } from '../testing/index.js';
import { CoordinatorStatus } from './coordinator-status.js';
import { createMeasured } from '../../operations/metrics/metrics.fixture.js';

const SAFETY_MS = 1_000;

class Listing extends ScriptedParticipant {
  listed: PreparedBranch[] = [];

  recover(): Promise<PreparedBranch[]> {
    return Promise.resolve(this.listed);
  }
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('Branches that a coordinator cannot decide', () => {
  function setUp() {
    const listing = new Listing();
    const measured = createMeasured({
      name: 'shop',
      participants: { listing },
      log: new ScriptedLog({ claim: claimOf({ epoch: 2 }) }),
      orphanSafetyMs: SAFETY_MS,
    });
    const { runtime, participants, reporter } = measured;
    const logger = (reporter as unknown as { logger: { error: () => void; warn: () => void } }).logger;
    const lines: string[] = [];
    vi.spyOn(logger, 'error').mockImplementation(
      (...args: unknown[]) => void lines.push(`error ${String(args[0])}`),
    );
    vi.spyOn(logger, 'warn').mockImplementation(
      (...args: unknown[]) => void lines.push(`warn ${String(args[0])}`),
    );
    const status = new CoordinatorStatus(runtime, participants, reporter);
    return { ...measured, listing, lines, undecided: () => status.participant('listing').undecided };
  }

  it('are reported once, and shown with their age, until they are gone', async () => {
    const { listing, lines, recover, clock, undecided } = setUp();
    const [otherLog, otherName] = [idOf('shop', 1, 1, OTHER_LOG_ID), idOf('bank', 1, 1)];
    listing.listed = [otherLog, otherName].map((transactionId) => ({ transactionId, branchId: 'b' }));

    for (let pass = 0; pass < 4; pass++) {
      await recover();
      await clock.advance(SAFETY_MS);
    }

    expect(lines).toEqual([
      expect.stringMatching(/^error prepared branches have decisions that this coordinator cannot know/),
      expect.stringMatching(/^warn branches of other coordinators/),
    ]);
    const ageMs = 4 * SAFETY_MS;
    expect(undecided()).toEqual({
      undecidable: 1,
      foreign: 1,
      oldest: [
        { transactionId: otherLog, branchId: 'b', reason: 'other-log', ageMs },
        { transactionId: otherName, branchId: 'b', reason: 'other-coordinator', ageMs },
      ],
    });
    expect(listing.calls).toEqual([]);

    listing.listed = [];
    await recover();
    expect(undecided()).toEqual({ undecidable: 0, foreign: 0, oldest: [] });
  });

  it('are no news where they are of another coordinator that completes them in a moment', async () => {
    const { listing, lines, recover, clock, undecided } = setUp();
    for (let pass = 1; pass < 5; pass++) {
      listing.listed = [{ transactionId: idOf('bank', 1, pass), branchId: 'b' }];
      await recover();
      await clock.advance(SAFETY_MS);
    }

    expect(lines).toEqual([]);
    expect(undecided()).toMatchObject({ foreign: 0, oldest: [] });
  });
});
