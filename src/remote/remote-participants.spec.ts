import { describe, expect, it } from 'vitest';
import { runOf } from '../../test/support/identity.js';
import type { RemoteParticipant } from './remote-participant.js';
import { RemoteParticipants } from './remote-participants.js';
import type { ParticipantTransport } from './transport.js';

describe('The remote participants at a shutdown', () => {
  it.each(['capabilities', 'forgetBelow'])(
    'wait for no host that does not answer %s',
    async (unanswered) => {
      const asked: string[] = [];
      const lost: ((error: Error) => void)[] = [];
      const hanging: ParticipantTransport = {
        address: 'http://stock',
        send: (message, receive) => {
          const { calls } = JSON.parse(message) as { calls: { method: string }[] };
          const methods = calls.map(({ method }) => method);
          asked.push(...methods);
          const said = { kind: 'capabilities', participant: 'stock', onePhase: true, durable: true };
          for (const [id, method] of methods.entries())
            if (method !== unanswered)
              receive({ id, ...(method === 'capabilities' ? said : { kind: 'done' }) });
          if (!methods.includes(unanswered)) return Promise.resolve();
          return new Promise((_resolve, reject) => lost.push(reject));
        },
        close: () => {
          for (const lose of lost) lose(new Error('it was closed'));
        },
      };
      const limits = { maxInFlight: 8, maxQueued: 8, maxPayloadBytes: 1_000, adminTimeoutMs: 60_000 };
      const options = { participants: [{ name: 'stock', address: hanging }], limits, forgetIntervalMs: 10 };
      const registered: RemoteParticipant[] = [];
      const registry = { register: (participant: RemoteParticipant) => registered.push(participant) };
      const remote = new RemoteParticipants(options as never, registry as never, {} as never);
      await remote.onModuleInit();
      const run = { ...runOf(), lowWaterMarks: () => [{ epoch: 1, sequence: 1 }] };
      await registered[0]!.claim(run, async () => true);
      await expect.poll(() => asked).toContain(unanswered);

      await remote.onApplicationShutdown();
    },
    5_000,
  );
});
