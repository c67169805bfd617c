import { resolve } from 'node:path';
import { endWith, stage } from '../demo-support/stage.js';
import { buildIfChanged } from '../start/build-if-changed.ts';
import { IncidentDemo } from './demo.js';

/**
 * An incident at three in the morning: three coordinators under steady traffic, and the payment hangs.
 *
 *     npm run demo:incident -- [--short] [--pictures=<folder>]
 *
 * It ends with code 0 only if everything ended well: each order has changed all databases or none, but for the one that an operator has
 * ended by hand, which is shown as such. `--short` has a shorter outage and fewer orders. The pictures of the dashboard are in
 * `build/incident`, unless another folder is named. Then a picture that cannot be taken is a failure as well.
 */
const SHORT = { outageMs: 20_000, calmMs: 2_000, stalled: 40, perSecond: 4, leaseMs: 3_000 };
const LONG = { outageMs: 45_000, calmMs: 5_000, stalled: 150, perSecond: 6, leaseMs: 4_000 };

const ROOT = resolve(import.meta.dirname, '../../..');

if (process.platform === 'win32') endWith('The demo ends processes by signals that Windows does not have.');
if (!(await buildIfChanged(ROOT, process.env))) endWith('the application could not be built.');
await stage({
  name: 'incident-demo',
  hasShort: true,
  valued: ['--pictures'],
  // A start takes some ten seconds, and the rest a minute and a half.
  startWithinMs: 180_000,
  endWithinMs: 300_000,
  opening: (story) => {
    story.begin('Three in the morning');
    story.add(
      'Three coordinators share one decision log in PostgreSQL. A shop places orders at all of them.',
    );
    story.add('An order changes three databases: it is written, its goods leave the stock, and it is paid.');
    story.add(
      'The payment will hang for ten minutes. The clock of this story is faster than yours, so it takes less.',
    );
    story.tell('PostgreSQL and the coordinators are starting. This takes some seconds.');
  },
  play: ({ environment, isShort, story, values }) =>
    new IncidentDemo(environment, isShort ? SHORT : LONG, story, ROOT, {
      folder: resolve(values.get('--pictures') ?? 'build/incident'),
      areNeeded: values.has('--pictures'),
    }),
  ending:
    'Everything ended well: each order has changed all three databases or none, but for the one that the operator ended by hand.',
});
