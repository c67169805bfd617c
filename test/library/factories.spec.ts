import { describe, expect, it } from 'vitest';
import {
  Participant,
  ParticipantRegistry,
  type Registration,
  type TransactionParticipant,
} from '../../src/coordinator/index.js';
import { startWith } from './support/applications.js';
import { Willing } from './support/participants.js';

@Participant({ name: 'named' })
class Named extends Willing {
  readonly names: string[] = [];

  constructor(readonly connection: string) {
    super();
  }

  registered({ name }: Registration): void {
    this.names.push(name);
  }
}

describe('A participant learns its name when it is registered', () => {
  it.each([
    ['by a factory', { provide: Named, useFactory: () => new Named('postgres://') }],
    ['by an asynchronous factory, under a token', { provide: 'N', useFactory: async () => new Named('x') }],
    ['as a value', { provide: Named, useValue: new Named('postgres://') }],
  ])('made %s', async (_, provider) => {
    const application = await startWith([provider]);

    const { instance } = application.get(ParticipantRegistry).get('named');
    expect((instance as unknown as Named).names).toEqual(['named']);
  });

  it('and may refuse it: then it is not registered', async () => {
    const application = await startWith([]);
    const registry = application.get(ParticipantRegistry);
    const refusing = new Named('');
    refusing.registered = () => {
      throw new Error('no connection is configured');
    };

    expect(() => registry.register(refusing, { name: 'refusing' })).toThrow('no connection is configured');
    expect(registry.list()).toEqual([]);
  });
});

describe('A participant is refused at its registration', () => {
  const METHODS = [
    'registered',
    'commitOnePhase',
    'claim',
    'recover',
    'capacity',
    'branchStarted',
    'branchEnded',
  ] as const;

  it.each(METHODS)('when its %s exists but is not a method', async (method) => {
    const application = await startWith([]);
    const registry = application.get(ParticipantRegistry);
    for (const value of [true, {}, 'yes', null]) {
      const participant = Object.assign(new Willing(), {
        [method]: value,
      }) as unknown as TransactionParticipant;
      expect(() => registry.register(participant, { name: 'half' })).toThrow(
        expect.objectContaining({
          code: 'DTC_INVALID_PARTICIPANT',
          message: expect.stringContaining(`its ${method} is`) as unknown,
        }) as Error,
      );
    }
    expect(registry.list()).toEqual([]);
  });
});
