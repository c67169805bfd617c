import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { Logger } from '@nestjs/common';
import { runCampaign } from './campaign.js';
import { kindOf, shortcomings, summary, witnessesInWords } from './evidence.js';
import { replay } from './runner.js';

/**
 * Runs schedules, and tells what was seen. A seed in which something goes wrong is run again, alone, and what happened
 * is printed; a single schedule is printed in any case.
 *
 *     npm run test:simulation -- [--members] [--groups | --last-resources] [--schedules 20000] [--seed 1] [--stop-early]
 *
 * With `--members` two to four members share one log; without it one process at a time decides.
 * With `--groups` participants prepare several transactions as one.
 * With `--last-resources` one participant cannot prepare, and decides after all others have voted.
 * With `--stop-early` it ends soon after the first thing that goes wrong.
 * Exit code 1: something went wrong; 2: nothing did, but too little was tried.
 */
const MAX_TRANSCRIPTS = 3;

Logger.overrideLogger(false);
const { values } = parseArgs({
  options: {
    schedules: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    members: { type: 'boolean', default: false },
    groups: { type: 'boolean', default: false },
    'last-resources': { type: 'boolean', default: false },
    'stop-early': { type: 'boolean', default: false },
  },
});
const { members, groups, 'last-resources': lastResources } = values;
if (groups && lastResources) throw new Error('a transaction with a last resource joins no group: choose one');
const order = {
  firstSeed: wholeNumber('seed'),
  schedules: wholeNumber('schedules'),
  members,
  groups,
  lastResources,
};

const startedAt = performance.now();
const results = await runCampaign(order, values['stop-early']);
const seconds = (performance.now() - startedAt) / 1000;

const seeds = new Set(results.violations.map(({ seed }) => seed));
if (order.schedules === 1) seeds.add(order.firstSeed);
for (const seed of [...seeds].slice(0, MAX_TRANSCRIPTS)) {
  const { transcript, judge } = await replay(seed, { members, groups, lastResources });
  console.log(
    `\nSeed ${seed}: ${judge.violations.join('; ') || 'nothing went wrong'}\n\n${transcript.toString()}`,
  );
}
const kind = kindOf(order);
for (const line of witnessesInWords(results.witnesses, kind)) console.log(line);
for (const { seed, what } of results.violations)
  console.log(`${what}\n  npm run test:simulation -- ${kind.flag}--seed ${seed} --schedules 1`);
const missing = shortcomings(results, kind);
for (const line of missing) console.log(line);
console.log(summary(results, kind, order.firstSeed, seconds));
if (results.violations.length > 0) process.exitCode = 1;
else if (missing.length > 0) process.exitCode = 2;

function wholeNumber(name: 'schedules' | 'seed'): number {
  const number = Number(values[name]);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new Error(`--${name} must be a whole number from 1 on`);
  return number;
}
