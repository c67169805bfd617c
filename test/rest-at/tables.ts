import { describe, expect, it } from 'vitest';
import type { Begun, Reply, RestAtClient } from './client.js';
import { type Answer, type ParticipantServer, type TestParticipant, says } from './participants.js';

/** A coordinator of any vendor, by its URL, and participants that it may call. */
export interface Bench {
  readonly client: RestAtClient;
  readonly participants: ParticipantServer;
}

type Row = readonly [request: string, check: (bench: Bench) => Promise<void>];

const LIST = 'application/txlist';
const XML = 'application/txstatusext+xml';
/** An event that comes within milliseconds. */
// oxlint-disable-next-line vitest/require-awaited-expect-poll -- its callers await it
const soon = <T>(look: () => T): ReturnType<typeof expect.poll<T>> => expect.poll(look, { interval: 2 });
const told = ({ code, text }: Reply): string => `${code} ${text}`.trim();

/** The first table of the protocol, row by row: requests to the coordinator. */
const COORDINATOR_SIDE: readonly Row[] = [
  [
    'POST transaction-manager without a body: 201, Location and three links',
    async ({ client }) => {
      const { code, location, links } = await client.send('POST', client.manager);

      expect(code).toBe(201);
      expect(location).toMatch(new RegExp(`^${client.manager}/[^/,]+$`));
      expect(links).toEqual({
        terminator: `${location}/terminator`,
        'durable-participant': location,
        'volatile-participant': `${location}/volatile-participant`,
      });
    },
  ],
  [
    'POST transaction-manager with a time-out, as a form or as text: the transaction ends by it',
    async ({ client }) => {
      for (const type of ['application/x-www-form-urlencoded', 'text/plain']) {
        const { code, location } = await client.send('POST', client.manager, { type, body: 'timeout=20' });
        expect(code).toBe(201);
        await soon(async () => (await client.send('GET', location)).code).toBe(410);
      }
    },
  ],
  [
    'POST transaction-manager with timeout=0: no limit but the longest',
    async ({ client }) => {
      const begun = await client.begin(0);
      const { text } = await client.send('GET', begun.url, { accept: XML });
      expect(text).toContain('<timeout>60000</timeout>');
    },
  ],
  [
    'POST transaction-manager with an impossible time-out: 400; with JSON: 415; too long: 413',
    async ({ client }) => {
      const post = async (type: string, body: string): Promise<number> =>
        (await client.send('POST', client.manager, { type, body })).code;
      const form = 'application/x-www-form-urlencoded';
      expect([await post(form, 'timeout=-1'), await post(form, 'timeout=soon')]).toEqual([400, 400]);
      expect(await post(form, 'timeout=1&timeout=2')).toBe(400);
      expect(await post('application/xml', '<timeout/>')).toBe(415);
      expect(await post('text/plain', 'x'.repeat(5_000))).toBe(413);
    },
  ],
  [
    'GET transaction-manager: the URLs of what runs, and the link to the statistics',
    async ({ client }) => {
      const [one, other] = [await client.begin(), await client.begin()];
      for (const accept of [LIST, undefined]) {
        const { code, type, text, links } = await client.send(
          'GET',
          client.manager,
          accept === undefined ? {} : { accept },
        );
        expect([code, type]).toEqual([200, LIST]);
        expect(text.split(',')).toEqual(expect.arrayContaining([one.url, other.url]));
        expect(links).toEqual({ statistics: `${client.manager}/statistics` });
      }
      await Promise.all([client.commit(one), client.rollback(other)]);
      expect((await client.send('GET', client.manager)).text).not.toContain(one.url);
    },
  ],
  [
    'GET transaction-manager as XML: created, statistics and one coordinatorURIs for each',
    async ({ client }) => {
      const { url } = await client.begin();
      const { code, type, text } = await client.send('GET', client.manager, { accept: XML });
      expect([code, type]).toEqual([200, XML]);
      expect(text).toMatch(
        /^<transaction-manager><created>\d{4}-[^<]+<\/created><statistics>.*<\/statistics>/,
      );
      expect(text).toContain(`<coordinatorURIs>${url}</coordinatorURIs>`);
      expect((await client.send('GET', client.manager, { accept: 'image/png' })).code).toBe(415);
    },
  ],
  [
    'GET statistics: active, prepared, committed and rolledback',
    async ({ client }) => {
      const url = `${client.manager}/statistics`;
      const count = async (name: string): Promise<number> => {
        const { text } = await client.send('GET', url);
        expect(text).toMatch(
          /^<statistics><active>\d+<\/active><prepared>\d+<\/prepared><committed>\d+<\/committed><rolledback>\d+<\/rolledback><\/statistics>$/,
        );
        return Number(new RegExp(`<${name}>(\\d+)<`).exec(text)![1]);
      };
      const [committed, rolledBack] = [await count('committed'), await count('rolledback')];
      await client.commit(await client.begin());
      await client.rollback(await client.begin());
      expect([await count('committed'), await count('rolledback')]).toEqual([committed + 1, rolledBack + 1]);
    },
  ],
  [
    'HEAD of a transaction: 200 and its links; of an unknown one: 404',
    async ({ client }) => {
      const begun = await client.begin();
      const { code, links, text } = await client.send('HEAD', begun.url);
      expect([code, links['terminator'], links['durable-participant'], text]).toEqual([
        200,
        begun.terminator,
        begun.durable,
        '',
      ]);
      for (const url of [`${begun.url}0`, `${client.manager}/unknown`]) {
        expect((await client.send('HEAD', url)).code).toBe(404);
      }
    },
  ],
  [
    'GET of a transaction: its status while it runs, 404 or 410 once ended',
    async ({ client }) => {
      const begun = await client.begin();
      const { code, type, text } = await client.send('GET', begun.url, { accept: 'application/txstatus' });
      expect([code, type, text]).toEqual([200, 'application/txstatus', 'txstatus=TransactionActive']);
      await client.commit(begun);
      expect(await client.status(begun)).toBe('410 txstatus=TransactionCommitted');
      expect((await client.send('GET', `${client.manager}/unknown`)).code).toBe(404);
    },
  ],
  [
    'GET of a transaction as XML: its status, its URLs and its participants',
    async ({ client, participants }) => {
      const begun = await client.begin(30_000);
      const [aware, unaware] = [participants.add(), participants.add('unaware')];
      const volatile = participants.addVolatile();
      const recovery = await client.enlist(begun, aware);
      await client.enlist(begun, unaware);
      await client.enlistVolatile(begun, volatile);

      const { code, type, text } = await client.send('GET', begun.url, { accept: XML });
      expect([code, type]).toEqual([200, XML]);
      expect(text.replace(/<created>[^<]+<\/created>/, '')).toBe(
        '<coordinator><status>TransactionActive</status><timeout>30000</timeout>' +
          `<txnURI>${begun.url}</txnURI><terminatorURI>${begun.terminator}</terminatorURI>` +
          `<durableParticipantEnlistmentURI>${begun.durable}</durableParticipantEnlistmentURI>` +
          `<volatileParticipantEnlistmentURI>${begun.volatile}</volatileParticipantEnlistmentURI>` +
          `<twoPhaseAware><status>TransactionActive</status><recoveryURI>${recovery}</recoveryURI>` +
          `<resourceURI>${aware.url}</resourceURI><terminatorURI>${aware.url}/terminator</terminatorURI></twoPhaseAware>` +
          text.slice(text.indexOf('<twoPhaseUnaware>')),
      );
      expect(text).toContain(`<commitURI>${unaware.url}/commit</commitURI>`);
      expect(text).toContain(`<volatileParticipants>${volatile.url}</volatileParticipants></coordinator>`);
    },
  ],
  [
    'GET of a transaction as XML: what participants have sent is escaped',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const url = `${participants.add().url}/terminator?a=1&b='2'`;
      await client.send('POST', begun.durable, {
        link: `<${url}>; rel="participant", <${url}>; rel="terminator"`,
      });
      const { text } = await client.send('GET', begun.url, { accept: XML });
      expect(text).toContain('/terminator?a=1&amp;b=&apos;2&apos;</terminatorURI>');
      expect(text).not.toContain('&b');
    },
  ],
  [
    'DELETE of a transaction: 403',
    async ({ client }) => {
      const begun = await client.begin();
      expect((await client.send('DELETE', begun.url)).code).toBe(403);
      expect(await client.status(begun)).toBe('200 txstatus=TransactionActive');
    },
  ],
  [
    'PUT terminator: 200 with the outcome, then 404 or 410',
    async ({ client }) => {
      for (const [order, outcome] of [
        ['TransactionCommitted', 'TransactionCommitted'],
        ['TransactionRolledBack', 'TransactionRolledBack'],
      ] as const) {
        const begun = await client.begin();
        const reply = await client.end(begun, order);
        expect([told(reply), reply.type]).toEqual([`200 txstatus=${outcome}`, 'application/txstatus']);
        expect((await client.end(begun, order)).code).toBe(410);
      }
      expect(
        (
          await client.send('PUT', `${client.manager}/unknown/terminator`, {
            type: 'application/txstatus',
            body: 'txstatus=TransactionCommitted',
          })
        ).code,
      ).toBe(404);
    },
  ],
  [
    'PUT terminator TransactionRollbackOnly: 200; a commit then rolls back, with 200',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const participant = participants.add();
      await client.enlist(begun, participant);
      expect(told(await client.end(begun, 'TransactionRollbackOnly'))).toBe(
        '200 txstatus=TransactionRollbackOnly',
      );
      expect(await client.status(begun)).toBe('200 txstatus=TransactionRollbackOnly');
      expect(told(await client.commit(begun))).toBe('200 txstatus=TransactionRolledBack');
      await soon(() => participant.orders()).toEqual(['rollback']);
    },
  ],
  [
    'PUT terminator with other content: 400; any other method: 400',
    async ({ client }) => {
      const begun = await client.begin();
      for (const status of ['TransactionActive', 'TransactionPrepared', 'Committed', '']) {
        expect((await client.end(begun, status)).code).toBe(400);
      }
      const type = 'text/plain';
      expect(
        (await client.send('PUT', begun.terminator, { type, body: 'txstatus=TransactionCommitted' })).code,
      ).toBe(400);
      for (const method of ['GET', 'HEAD', 'POST', 'DELETE', 'PATCH', 'OPTIONS']) {
        expect((await client.send(method, begun.terminator)).code).toBe(400);
      }
      expect(await client.status(begun)).toBe('200 txstatus=TransactionActive');
    },
  ],
  [
    'while a transaction is being ended, nothing is added and no other end is taken: 412',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const gate = Promise.withResolvers<number>();
      const [late, volatile] = [participants.add(), participants.addVolatile()];
      const holding = participants.add('aware', { prepare: [() => gate.promise] });
      await client.enlist(begun, holding, participants.add());
      const ending = client.commit(begun);
      await soon(() => holding.count('prepare')).toBe(1);

      expect(await client.status(begun)).toBe('200 txstatus=TransactionPreparing');
      const replies = [
        await client.send('POST', begun.durable, { link: late.link }),
        await client.send('PUT', begun.volatile, { link: volatile.link }),
        await client.commit(begun),
        await client.rollback(begun),
      ];
      expect(replies.map(told)).toEqual(Array.from(replies, () => '412 txstatus=TransactionPreparing'));
      gate.resolve(409);
      expect(told(await ending)).toBe('200 txstatus=TransactionRolledBack');
      expect([late.calls, volatile.bodies]).toEqual([[], []]);
    },
  ],
  [
    'PUT terminator of what is decided and not delivered: 202 and Location, never 5xx',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const busy = participants.add('aware', { commit: [503] });
      await client.enlist(begun, busy, participants.add());

      const reply = await client.commit(begun);
      expect([told(reply), reply.location]).toEqual(['202 txstatus=TransactionCommitting', begun.url]);
      expect(told(await client.commit(begun))).toBe('202 txstatus=TransactionCommitting');
      expect((await client.rollback(begun)).code).toBe(412);
      busy.script = {};
      await soon(() => client.status(begun)).toBe('410 txstatus=TransactionCommitted');
    },
  ],
  [
    'POST of a participant that knows both phases, or has a resource for each order: 201 and Location',
    async ({ client, participants }) => {
      const begun = await client.begin();
      for (const kind of ['aware', 'unaware', 'two-phase'] as const) {
        const { link } = participants.add(kind);
        const { code, location } = await client.send('POST', begun.durable, { link });
        expect([code, location]).toEqual([
          201,
          expect.stringMatching(new RegExp(`^${client.base}/recovery-coordinator/${begun.id}/[^/]+$`)),
        ]);
      }
    },
  ],
  [
    'POST of a participant with links missing: 400; after the end: 412; at an unknown one: 404',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const { url, link } = participants.add();
      for (const wrong of [
        undefined,
        `<${url}>; rel="participant"`,
        `<${url}>; rel="terminator"`,
        `${url}; rel="participant"`,
        `<${url}>; rel="participant", <${url}>; rel="commit"`,
        '<no url>; rel="participant", <x>; rel="terminator"',
      ]) {
        expect(
          (await client.send('POST', begun.durable, wrong === undefined ? {} : { link: wrong })).code,
        ).toBe(400);
      }
      await client.end(begun, 'TransactionRollbackOnly');
      expect((await client.send('POST', begun.durable, { link })).code).toBe(412);
      await client.rollback(begun);
      expect((await client.send('POST', begun.durable, { link })).code).toBe(412);
      expect((await client.send('POST', `${client.manager}/unknown`, { link })).code).toBe(404);
    },
  ],
  [
    'POST of a participant once more: 201 with the same URL, and one branch; with other links: 400',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const participant = participants.add();
      const first = await client.enlist(begun, participant);
      expect(await client.enlist(begun, participant)).toBe(first);
      const link = `<${participant.url}>; rel="participant", <${participant.url}/other>; rel="terminator"`;
      expect((await client.send('POST', begun.durable, { link })).code).toBe(400);
      await client.commit(begun);
      expect(participant.orders()).toEqual(['one-phase']);
    },
  ],
  [
    'fault 3: POST of a participant that has moved since, at its new address: 201 with the same URL, and one branch',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const [former, moved] = [participants.add(), participants.add()];
      const first = await client.enlist(begun, former);
      expect((await client.send('PUT', first, { link: moved.link })).code).toBe(200);
      expect(await client.enlist(begun, moved)).toBe(first);
      await client.commit(begun);
      expect([former.orders(), moved.orders()]).toEqual([[], ['one-phase']]);
    },
  ],
  [
    'POST of a participant with a volatile one beside it: both are called',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const [participant, volatile] = [participants.add(), participants.addVolatile()];
      await client.send('POST', begun.durable, { link: `${participant.link}, ${volatile.link}` });
      await client.commit(begun);
      expect([participant.orders(), volatile.bodies]).toEqual([
        ['one-phase'],
        ['', 'txstatus=TransactionCommitted'],
      ]);
    },
  ],
  [
    'PUT volatile-participant: 200; without a link: 400; after the end: 412',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const { link } = participants.addVolatile();
      expect((await client.send('PUT', begun.volatile, { link })).code).toBe(200);
      expect((await client.send('PUT', begun.volatile)).code).toBe(400);
      await client.rollback(begun);
      expect((await client.send('PUT', begun.volatile, { link })).code).toBe(412);
    },
  ],
  [
    'GET recovery-coordinator: 200 and the links of the participant',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const [aware, twoPhase] = [participants.add(), participants.add('two-phase')];
      const recovery = await client.enlist(begun, aware);
      const { code, links } = await client.send('GET', recovery);
      expect([code, links]).toEqual([200, { participant: aware.url, terminator: `${aware.url}/terminator` }]);
      const { links: others } = await client.send('GET', await client.enlist(begun, twoPhase));
      expect(others).toEqual({
        participant: twoPhase.url,
        prepare: `${twoPhase.url}/prepare`,
        commit: `${twoPhase.url}/commit`,
        rollback: `${twoPhase.url}/rollback`,
      });
    },
  ],
  [
    'GET, PUT and DELETE recovery-coordinator once ended: 404 only after an abort',
    async ({ client, participants }) => {
      const { link } = participants.add();
      const ask = async (url: string): Promise<number[]> => {
        const replies = [
          await client.send('GET', url),
          await client.send('PUT', url, { link }),
          await client.send('DELETE', url),
        ];
        return replies.map(({ code }) => code);
      };
      const aborted = await client.begin();
      const ofAborted = await client.enlist(aborted, participants.add());
      await client.rollback(aborted);
      await soon(() => ask(ofAborted)).toEqual([404, 404, 404]);

      const committed = await client.begin();
      const ofCommitted = await client.enlist(committed, participants.add());
      await client.commit(committed);
      expect(await ask(ofCommitted)).toEqual([503, 503, 503]);
      // It may be that of another coordinator.
      expect(await ask(`${client.base}/recovery-coordinator/unknown/1`)).toEqual([503, 503, 503]);
      const { url } = await client.begin();
      expect(await ask(`${client.base}/recovery-coordinator/${url.split('/').at(-1)}/1`)).toEqual([
        503, 503, 503,
      ]);
    },
  ],
  [
    'PUT recovery-coordinator: 200, and the orders go to the new address; with links missing: 400',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const [former, latter] = [participants.add(), participants.add()];
      const recovery = await client.enlist(begun, former);
      await client.enlist(begun, participants.add());
      expect((await client.send('PUT', recovery)).code).toBe(400);
      expect((await client.send('PUT', recovery, { link: participants.add('two-phase').link })).code).toBe(
        400,
      );
      expect((await client.send('PUT', recovery, { link: latter.link })).code).toBe(200);
      expect((await client.send('GET', recovery)).links['terminator']).toBe(`${latter.url}/terminator`);
      await client.commit(begun);
      expect([former.orders(), latter.orders()]).toEqual([[], ['prepare', 'commit']]);
    },
  ],
  [
    'DELETE recovery-coordinator: the participant leaves; once the transaction is being ended: 409',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const leaving = participants.add();
      const holding = participants.add('aware', { commit: [503] });
      const recovery = await client.enlist(begun, leaving);
      expect((await client.send('DELETE', recovery)).code).toBe(200);
      const stays = await client.enlist(begun, holding, participants.add(), holding);
      await client.commit(begun);
      expect((await client.send('DELETE', stays)).code).toBe(409);
      expect(leaving.calls).toEqual([]);

      const alone = await client.begin();
      await client.send('DELETE', await client.enlist(alone, leaving));
      expect(told(await client.commit(alone))).toBe('200 txstatus=TransactionCommitted');
      expect(leaving.calls).toEqual([]);
      holding.script = {};
    },
  ],
];

/** Commits a transaction of a participant and of another one that agrees to everything. */
async function committed(
  { client, participants }: Bench,
  script: TestParticipant['script'],
  kind: TestParticipant['kind'] = 'aware',
): Promise<{
  begun: Begun;
  participant: TestParticipant;
  other: TestParticipant;
  reply: Reply;
  recovery: string;
}> {
  const begun = await client.begin();
  const [participant, other] = [participants.add(kind, script), participants.add()];
  const recovery = await client.enlist(begun, participant);
  await client.enlist(begun, other);
  return { begun, participant, other, reply: await client.commit(begun), recovery };
}

/** The answers to prepare that are a yes, and those that are not. */
const YES: readonly Answer[] = [
  200,
  says('TransactionPrepared'),
  { code: 200, body: 'txstatus=TransactionPrepared\r\n' },
];
const NO_YES: readonly Answer[] = [
  404,
  412,
  204,
  201,
  302,
  410,
  500,
  503,
  'cut',
  says('TransactionCommitted'),
  says('TransactionRolledBack'),
  says('TransactionPrepared', 202),
  { code: 200, body: '<html>200 OK</html>' },
  { code: 200, body: 'txstatus=TransactionPrepared'.padEnd(5_000) },
];

/** The second table of the protocol, row by row: answers of participants. */
const PARTICIPANT_SIDE: readonly Row[] = [
  ...YES.map((answer): Row => [
    `PUT TransactionPrepared, answer ${JSON.stringify(answer)}: yes`,
    async (bench) => {
      const { participant, reply } = await committed(bench, { prepare: [answer] });
      expect(told(reply)).toBe('200 txstatus=TransactionCommitted');
      expect(participant.calls).toEqual([
        {
          order: 'prepare',
          method: 'PUT',
          body: 'txstatus=TransactionPrepared',
          type: 'application/txstatus',
        },
        {
          order: 'commit',
          method: 'PUT',
          body: 'txstatus=TransactionCommitted',
          type: 'application/txstatus',
        },
      ]);
    },
  ]),
  [
    'PUT TransactionPrepared, answer TransactionReadOnly: it is asked nothing more',
    async (bench) => {
      const { participant, other, reply } = await committed(bench, {
        prepare: [says('TransactionReadOnly')],
      });
      expect(told(reply)).toBe('200 txstatus=TransactionCommitted');
      expect([participant.orders(), other.orders()]).toEqual([['prepare'], ['prepare', 'commit']]);
    },
  ],
  [
    'PUT TransactionPrepared, answer 409: no, and the other one is rolled back',
    async (bench) => {
      const { participant, other, reply } = await committed(bench, { prepare: [409] });
      expect(told(reply)).toBe('200 txstatus=TransactionRolledBack');
      await soon(() => other.orders()).toContain('rollback');
      expect(participant.orders()).toEqual(['prepare']);
    },
  ],
  ...NO_YES.map((answer): Row => [
    `PUT TransactionPrepared, answer ${JSON.stringify(answer).slice(0, 60)}: no, and it is rolled back`,
    async (bench) => {
      const { participant, other, reply } = await committed(bench, { prepare: [answer] });
      expect(told(reply)).toBe('200 txstatus=TransactionRolledBack');
      await soon(() => [participant.count('rollback') > 0, other.count('rollback') > 0]).toEqual([
        true,
        true,
      ]);
      expect(other.count('commit')).toBe(0);
    },
  ]),
  [
    'PUT TransactionPrepared, answer 404, and its links name another resource: it is asked there',
    async (bench) => {
      const moved = bench.participants.add();
      const { participant, reply } = await committed(bench, {
        prepare: [404],
        links: [{ code: 200, link: moved.link }],
      });
      expect(told(reply)).toBe('200 txstatus=TransactionCommitted');
      expect([participant.orders(), moved.orders()]).toEqual([
        ['prepare', 'links'],
        ['prepare', 'commit'],
      ]);
    },
  ],
  [
    'fault 19: PUT TransactionPrepared, answer with a redirect: it is not followed, and no yes',
    async (bench) => {
      const elsewhere = bench.participants.add();
      const location = `${elsewhere.url}/terminator`;
      const { reply } = await committed(bench, { prepare: [{ code: 307, location }] });
      expect(told(reply)).toBe('200 txstatus=TransactionRolledBack');
      expect(elsewhere.calls).toEqual([]);
    },
  ],
  [
    'fault 18: PUT TransactionPrepared, a yes that comes after the abort: it is not believed, and it is rolled back',
    async ({ client, participants }) => {
      const begun = await client.begin(10_000);
      const late = participants.add();
      // The other one has refused, so that this one was rolled back, before it answers.
      late.script = {
        prepare: [
          async () => {
            await soon(() => late.count('rollback')).toBeGreaterThan(0);
            return 200;
          },
        ],
      };
      await client.enlist(begun, late, participants.add('aware', { prepare: [409] }));
      expect(told(await client.commit(begun))).toBe('200 txstatus=TransactionRolledBack');
      await soon(() => client.status(begun)).toBe('410 txstatus=TransactionRolledBack');
      expect(late.count('commit')).toBe(0);
    },
  ],
  [
    'PUT TransactionPrepared, answer 404 from a participant that has said meanwhile that it has moved',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const [leaving, moved] = [participants.add(), participants.add()];
      const recovery = await client.enlist(begun, leaving);
      const move = async (): Promise<number> =>
        (await client.send('PUT', recovery, { link: moved.link })).code === 200 ? 404 : 500;
      leaving.script = { prepare: [move] };
      await client.enlist(begun, participants.add());
      expect(told(await client.commit(begun))).toBe('200 txstatus=TransactionCommitted');
      expect([leaving.orders(), moved.orders()]).toEqual([['prepare'], ['prepare', 'commit']]);
    },
  ],
  [
    'PUT prepare, commit and rollback of a participant with a resource for each',
    async (bench) => {
      const { participant, reply } = await committed(bench, {}, 'unaware');
      expect(told(reply)).toBe('200 txstatus=TransactionCommitted');
      expect(participant.orders()).toEqual(['prepare', 'commit']);
      const { participant: refusing } = await committed(bench, { prepare: [500] }, 'two-phase');
      await soon(() => refusing.orders()).toEqual(['prepare', 'rollback']);
    },
  ],
  [
    'a single participant: one phase where it can, both where it cannot',
    async ({ client, participants }) => {
      for (const [kind, orders] of [
        ['aware', ['one-phase']],
        ['unaware', ['one-phase']],
        ['two-phase', ['prepare', 'commit']],
      ] as const) {
        const begun = await client.begin();
        const participant = participants.add(kind);
        await client.enlist(begun, participant);
        expect(told(await client.commit(begun))).toBe('200 txstatus=TransactionCommitted');
        expect(participant.orders()).toEqual(orders);
      }
    },
  ],
  ...(
    [
      [200, 'TransactionCommitted'],
      [says('TransactionCommittedOnePhase'), 'TransactionCommitted'],
      [says('TransactionCommitted'), 'TransactionCommitted'],
      [409, 'TransactionRolledBack'],
      [410, 'TransactionRolledBack'],
      [says('TransactionRolledBack'), 'TransactionRolledBack'],
      [says('TransactionHeuristicMixed'), 'TransactionHeuristicMixed'],
    ] as const
  ).map(([answer, outcome]): Row => [
    `PUT TransactionCommittedOnePhase, answer ${JSON.stringify(answer)}: ${outcome}`,
    async ({ client, participants }) => {
      const begun = await client.begin();
      await client.enlist(begun, participants.add('aware', { 'one-phase': [answer] }));
      expect(told(await client.commit(begun))).toBe(`200 txstatus=${outcome}`);
    },
  ]),
  [
    'PUT TransactionCommittedOnePhase without an answer: it is asked again until it says',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const participant = participants.add('aware', { 'one-phase': ['cut', 503, 410] });
      await client.enlist(begun, participant);
      expect(['200 txstatus=TransactionCommitted', '202 txstatus=TransactionPrepared']).toContain(
        told(await client.commit(begun)),
      );
      await soon(() => client.status(begun)).toBe('410 txstatus=TransactionCommitted');
    },
  ],
  ...([200, says('TransactionCommitted'), 410] as const).map((answer): Row => [
    `PUT TransactionCommitted, answer ${JSON.stringify(answer)}: done`,
    async (bench) => {
      const { participant, reply } = await committed(bench, { commit: [answer] });
      expect(told(reply)).toBe('200 txstatus=TransactionCommitted');
      expect(participant.orders()).toEqual(['prepare', 'commit']);
    },
  ]),
  ...(
    [503, 500, 'cut', 204, 401, { code: 200, body: '<html/>' }, says('TransactionCommitting')] as const
  ).map((answer): Row => [
    `PUT TransactionCommitted, answer ${JSON.stringify(answer)}: it is told again`,
    async (bench) => {
      const { begun, participant } = await committed(bench, { commit: [answer, answer, 200] });
      await soon(() => bench.client.status(begun)).toBe('410 txstatus=TransactionCommitted');
      expect(participant.orders()).toEqual(['prepare', 'commit', 'commit', 'commit']);
    },
  ]),
  ...([503, 404, 'cut', 409] as const).map((answer): Row => [
    `PUT TransactionRolledBack, answer ${JSON.stringify(answer)}: it is told again`,
    async ({ client, participants }) => {
      const begun = await client.begin();
      const participant = participants.add('aware', { rollback: [answer, 200] });
      await client.enlist(begun, participant);
      expect(told(await client.rollback(begun))).toBe('200 txstatus=TransactionRolledBack');
      await soon(() => client.status(begun)).toBe('410 txstatus=TransactionRolledBack');
      expect(participant.count('rollback')).toBe(2);
    },
  ]),
  ...(
    [
      [says('TransactionHeuristicCommit'), 'TransactionCommitted'],
      [says('TransactionHeuristicRollback'), 'TransactionHeuristicMixed'],
      [says('TransactionHeuristicMixed'), 'TransactionHeuristicMixed'],
      [says('TransactionHeuristicHazard'), 'TransactionHeuristicHazard'],
      [says('TransactionRolledBack'), 'TransactionHeuristicMixed'],
      [409, 'TransactionHeuristicMixed'],
    ] as const
  ).map(([answer, outcome]): Row => [
    `PUT TransactionCommitted, answer ${JSON.stringify(answer)}: the decision stays, and the outcome is ${outcome}`,
    async (bench) => {
      const { other, reply } = await committed(bench, { commit: [answer] });
      expect(told(reply)).toBe(`200 txstatus=${outcome}`);
      expect(other.orders()).toEqual(['prepare', 'commit']);
    },
  ]),
  [
    'PUT TransactionCommitted, answer 404: a new address is looked for, and it is told there',
    async (bench) => {
      const moved = bench.participants.add();
      const { reply, participant } = await committed(bench, {
        commit: [404],
        links: [{ code: 200, link: moved.link }],
      });
      expect(told(reply)).toBe('200 txstatus=TransactionCommitted');
      expect([participant.orders(), moved.orders()]).toEqual([['prepare', 'commit', 'links'], ['commit']]);
    },
  ],
  [
    'PUT TransactionCommitted, answer 404, and it says later that it has moved: it is told at once there',
    async (bench) => {
      const moved = bench.participants.add();
      const { begun, recovery } = await committed(bench, { commit: [404], links: [404] });
      expect(await bench.client.status(begun)).toBe('200 txstatus=TransactionCommitting');
      expect((await bench.client.send('PUT', recovery, { link: moved.link })).code).toBe(200);
      await soon(() => bench.client.status(begun)).toBe('410 txstatus=TransactionCommitted');
      expect(moved.orders()).toEqual(['commit']);
    },
  ],
  ...([410, 200, 'cut'] as const).map((answer): Row => [
    `fault 44: PUT TransactionCommitted, answer ${answer} of the former address of a participant that has moved: it does not count`,
    async ({ client, participants }) => {
      const begun = await client.begin();
      const [leaving, moved] = [participants.add(), participants.add()];
      const recovery = await client.enlist(begun, leaving);
      await client.enlist(begun, participants.add());
      const move = async (): Promise<typeof answer> => {
        await client.send('PUT', recovery, { link: moved.link });
        return answer;
      };
      leaving.script = { commit: [move] };
      expect(told(await client.commit(begun))).toBe('200 txstatus=TransactionCommitted');
      expect([leaving.orders(), moved.orders()]).toEqual([['prepare', 'commit'], ['commit']]);
    },
  ]),
  [
    'fault 44: PUT TransactionCommittedOnePhase, answer 410 of the new address of a participant that has moved meanwhile: it has committed',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const [leaving, moved] = [participants.add(), participants.add()];
      const recovery = await client.enlist(begun, leaving);
      const move = async (): Promise<'cut'> => {
        await client.send('PUT', recovery, { link: moved.link });
        return 'cut';
      };
      leaving.script = { 'one-phase': [move] };
      moved.script = { 'one-phase': [410] };
      expect(told(await client.commit(begun))).toBe('200 txstatus=TransactionCommitted');
      expect([leaving.orders(), moved.orders()]).toEqual([['one-phase'], ['one-phase']]);
    },
  ],
  [
    'links of a participant that has moved to an address that is not allowed are not followed',
    async (bench) => {
      const strange = '<http://192.0.2.1/p>; rel="participant", <http://192.0.2.1/t>; rel="terminator"';
      const { reply, participant } = await committed(bench, {
        prepare: [404],
        links: [{ code: 200, link: strange }],
      });
      expect(told(reply)).toBe('200 txstatus=TransactionRolledBack');
      expect(participant.count('links')).toBeGreaterThan(0);
    },
  ],
  [
    'DELETE of a participant that has ended by itself, as was decided: it may forget that',
    async (bench) => {
      const { participant, reply } = await committed(bench, {
        commit: [says('TransactionHeuristicCommit')],
        forget: [204],
      });
      expect(told(reply)).toBe('200 txstatus=TransactionCommitted');
      await soon(() => participant.orders()).toEqual(['prepare', 'commit', 'forget']);
    },
  ],
  [
    'PUT of a volatile participant: before the first phase and after the end',
    async ({ client, participants }) => {
      for (const [order, status, bodies] of [
        ['commit', 'TransactionCommitted', ['', 'txstatus=TransactionCommitted']],
        ['rollback', 'TransactionRolledBack', ['txstatus=TransactionRolledBack']],
      ] as const) {
        const begun = await client.begin();
        const [volatile, participant] = [participants.addVolatile(), participants.add()];
        await client.enlistVolatile(begun, volatile);
        await client.enlistVolatile(begun, volatile);
        await client.enlist(begun, participant);
        expect(told(await client[order](begun))).toBe(`200 txstatus=${status}`);
        expect(volatile.bodies).toEqual(bodies);
      }
    },
  ],
  [
    'while volatile participants are asked, participants may enlist; volatile ones, and another end, get 412',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const gate = Promise.withResolvers<number>();
      const [volatile, late] = [participants.addVolatile(() => gate.promise), participants.add()];
      await client.enlistVolatile(begun, volatile);
      const ending = client.commit(begun);
      await soon(() => volatile.bodies).toEqual(['']);

      const other = { link: participants.addVolatile().link };
      const refused = [
        await client.send('PUT', begun.volatile, other),
        await client.commit(begun),
        await client.rollback(begun),
      ];
      expect(refused.map(({ code }) => code)).toEqual([412, 412, 412]);
      await client.enlist(begun, late);
      gate.resolve(200);
      expect(told(await ending)).toBe('200 txstatus=TransactionCommitted');
      expect(late.orders()).toEqual(['one-phase']);
    },
  ],
  ...([409, 204, 500, 'cut'] as const).map((answer): Row => [
    `PUT of a volatile participant before the first phase, answer ${JSON.stringify(answer)}: abort`,
    async ({ client, participants }) => {
      const begun = await client.begin();
      const [volatile, participant] = [participants.addVolatile(answer), participants.add()];
      await client.enlistVolatile(begun, volatile);
      await client.enlist(begun, participant);
      expect(told(await client.commit(begun))).toBe('200 txstatus=TransactionRolledBack');
      expect(participant.count('prepare') + participant.count('one-phase')).toBe(0);
      expect(volatile.bodies).toEqual(['', 'txstatus=TransactionRolledBack']);
    },
  ]),
  [
    'PUT of a volatile participant after the end, answer 503: it is told once, and nothing changes',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const volatile = participants.addVolatile(200, 503);
      await client.enlistVolatile(begun, volatile);
      await client.enlist(begun, participants.add());
      expect(told(await client.commit(begun))).toBe('200 txstatus=TransactionCommitted');
      expect(volatile.bodies).toEqual(['', 'txstatus=TransactionCommitted']);
    },
  ],
];

/** Points in which implementations of the draft differ, and the choice of the coordinator. */
const DIFFERENCES: readonly Row[] = [
  [
    'a commit without participants commits',
    async ({ client }) => {
      expect(told(await client.commit(await client.begin()))).toBe('200 txstatus=TransactionCommitted');
    },
  ],
  [
    'the first answer of the second phase is a refusal: the others commit',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const others = [participants.add(), participants.add()];
      await client.enlist(begun, participants.add('aware', { commit: [409] }), ...others);
      expect(told(await client.commit(begun))).toBe('200 txstatus=TransactionHeuristicMixed');
      expect(others.map((other) => other.orders())).toEqual(others.map(() => ['prepare', 'commit']));
    },
  ],
  [
    'orders of one phase go to all participants at once',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const gate = Promise.withResolvers<number>();
      const all = [
        participants.add('aware', { prepare: [() => gate.promise] }),
        participants.add(),
        participants.add(),
      ];
      await client.enlist(begun, ...all);
      const ending = client.commit(begun);
      await soon(() => all.map((one) => one.count('prepare'))).toEqual([1, 1, 1]);
      gate.resolve(200);
      expect(told(await ending)).toBe('200 txstatus=TransactionCommitted');
    },
  ],
  [
    'an address that is not allowed is refused, and nothing is enlisted',
    async ({ client, participants }) => {
      const begun = await client.begin();
      const { url } = participants.add();
      const refused = async (address: string): Promise<number> =>
        (
          await client.send('POST', begun.durable, {
            link: `<${url}>; rel="participant", <${address}>; rel="terminator"`,
          })
        ).code;
      expect(await refused('http://169.254.169.254/latest')).toBe(403);
      expect(await refused(url.replace('127.0.0.1', 'localhost'))).toBe(403);
      expect(await refused(url.replace('http:', 'https:'))).toBe(403);
      expect(await refused(url.replace('//', '//user@'))).toBe(403);
      expect(await refused('file:///etc/passwd')).toBe(400);
      const volatile = { link: '<http://192.0.2.1/v>; rel="volatile-participant"' };
      expect((await client.send('PUT', begun.volatile, volatile)).code).toBe(403);
      expect(told(await client.commit(begun))).toBe('200 txstatus=TransactionCommitted');
    },
  ],
];

/**
 * Checks a coordinator against the tables of the protocol. It needs the URL of the coordinator, and no more.
 */
export function restAtTables(bench: () => Bench): void {
  describe.each([
    ['what clients and participants ask', COORDINATOR_SIDE],
    ['what participants answer', PARTICIPANT_SIDE],
    ['where implementations differ', DIFFERENCES],
  ] as const)('%s', (_table, rows) => {
    // oxlint-disable-next-line vitest/expect-expect -- each row asserts
    it.each(rows)('%s', (_request, check) => check(bench()));
  });
}
