import { beforeEach, describe, expect, it } from 'vitest';
import { resolveCoordinatorOptions } from '../coordinator.options.js';
import { ScriptedParticipant } from '../testing/index.js';
import { ParticipantRegistry } from './participant.registry.js';
import type { TransactionParticipant } from './participant.js';

let registry: ParticipantRegistry;
beforeEach(() => (registry = new ParticipantRegistry(resolveCoordinatorOptions())));

describe('ParticipantRegistry', () => {
  it('lists participants in the order of registration', () => {
    for (const name of ['c', 'a', 'b']) registry.register(new ScriptedParticipant(), { name });

    expect(registry.list().map(({ name }) => name)).toEqual(['c', 'a', 'b']);
  });

  it('shows participants as snapshots, which change neither by themselves nor by hand', () => {
    const registered = registry.register(new ScriptedParticipant(), { name: 'own' });
    const [listed] = registry.list();
    registry.resolve('own').counts.committed++;
    registry.pause('own', { since: 1, by: 'alice', reason: 'maintenance' });

    for (const before of [registered, listed!])
      expect(before).toMatchObject({ counts: { committed: 0 }, paused: undefined });
    const now = registry.get('own');
    expect(now).toMatchObject({ counts: { committed: 1 }, paused: { by: 'alice' } });
    for (const part of [now, now.options, now.classes, now.counts, now.paused])
      expect(Object.isFrozen(part)).toBe(true);
    registry.list().pop();
    expect(registry.list()).toHaveLength(1);
  });

  it('finds one by its name, its class and every alias', () => {
    class Own extends ScriptedParticipant {}
    class Token extends ScriptedParticipant {}

    const registered = registry.register(new Own(), { name: 'own' }, Token);

    for (const reference of ['own', Own, Token]) expect(registry.get(reference)).toEqual(registered);
    expect(() => registry.get(ScriptedParticipant)).toThrow('No participant "ScriptedParticipant"');
  });

  it.each(['commitOnePhase', 'recover', 'branchStarted', 'branchEnded', 'claim'])(
    'refuses a participant whose %s is not a method, and does not register it',
    (method) => {
      const instance = Object.assign(new ScriptedParticipant(), { [method]: 'yes' });

      expect(() => registry.register(instance as never, { name: 'odd' })).toThrow(
        `ScriptedParticipant cannot be a participant: its ${method} is a string, not a method.`,
      );
      expect(registry.list()).toEqual([]);
    },
  );

  it('refuses a participant whose method cannot be read', () => {
    const instance = Object.defineProperty(new ScriptedParticipant(), 'recover', {
      get() {
        throw new Error('not now');
      },
    });

    expect(() => registry.register(instance, { name: 'odd' })).toThrow('its recover cannot be read: not now');
  });

  it('takes a plain object, which is known only by its name', () => {
    const plain: TransactionParticipant = { prepare: () => 'commit', commit() {}, rollback() {} };
    const bare = Object.assign(Object.create(null) as object, plain) as TransactionParticipant;

    registry.register(plain, { name: 'plain' });
    registry.register(bare, { name: 'bare' });

    expect(registry.get('plain').instance).toBe(plain);
    expect(registry.get('bare').instance).toBe(bare);
    expect(() => registry.get(Object as never)).toThrow('No participant "Object" is registered');
    expect(() => registry.get(undefined as never)).toThrow('No participant "undefined" is registered');
  });

  it('knows one-phase participants by their method', () => {
    const onePhase = new ScriptedParticipant({ commitOnePhase: 'yes' });

    expect(registry.register(onePhase, { name: 'one' }).onePhase).toBe(true);
    expect(registry.register(new ScriptedParticipant(), { name: 'two' }).onePhase).toBe(false);
  });

  for (const nothing of [null, undefined, 7, 'text']) {
    it(`refuses ${String(nothing)} with an error that says what a participant is`, () => {
      expect(() => registry.register(nothing as never, { name: 'nothing' })).toThrow(
        expect.objectContaining({ code: 'DTC_INVALID_PARTICIPANT' }),
      );
      expect(registry.list()).toEqual([]);
    });
  }
});
