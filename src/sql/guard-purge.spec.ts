import { Logger } from '@nestjs/common';
import { expect, it } from 'vitest';
import { idOf, runOf } from '../../test/support/identity.js';
import type { CoordinatorRun } from '../coordinator/participant/participant.js';
import { GuardPurge } from './guard-purge.js';

class Purge extends GuardPurge {
  constructor() {
    super('bank', { name: 'dtc_branches' }, 60_000, new Logger('test'));
  }

  protected override async sweep(): Promise<void> {}

  get names(): string[] {
    return [...this.coordinators.keys()];
  }

  needs(transactionId: string): boolean {
    return this.isNeeded(`${transactionId}/bank/b`);
  }
}

it('asks the latest run of each coordinator, also where the branches of two runs alternate', () => {
  const asked: string[] = [];
  const run = (which: string): CoordinatorRun => runOf({ isUnsettled: () => asked.push(which) > 0 });
  const [one, two] = [run('one'), run('two')];
  const purge = new Purge();
  const id = idOf('shop', 1, 1);
  for (const latest of [one, two, one, one, two]) {
    purge.workFor({ transactionId: id, run: latest });
    expect(purge.needs(id)).toBe(true);
  }
  expect(asked).toEqual(['one', 'two', 'one', 'one', 'two']);
});

it('keeps the names of all coordinators of one run, also where one begins like another', () => {
  const purge = new Purge();
  const run = runOf();
  for (const name of ['shop', 'shop-2', 'shop', 'bar'])
    purge.workFor({ transactionId: idOf(name, 1, 1), run });
  expect(purge.names).toEqual(['shop', 'shop-2', 'bar']);
});
