import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { natsRig } from './support/broker-rigs.js';
import { isInstalled } from './support/brokers.js';
import { call, messageOf, nextId, transportConformance } from './support/conformance.js';

const installed = isInstalled('nats-server');

transportConformance(natsRig(), installed);

describe.runIf(installed)('A host at NATS that sends no packets of Nest', () => {
  const rig = natsRig();
  beforeAll(() => rig.start());
  afterAll(() => rig.close());

  it('ends its messages, and nothing else', async () => {
    const texts = ['no JSON', 'null', '5', '{"id":7}', '{"err":null,"isDisposed":true}'];
    const given = [...texts];
    const server = await connect({ servers: `nats://127.0.0.1:${rig.broker!.port}` });
    server.subscribe('stock.calls', { callback: (_error, message) => void message.respond(given.pop()) });
    await server.flush();
    const transport = rig.transport();
    const answers: unknown[] = [];
    const sent = texts.map(() =>
      transport.send(messageOf([call('prepare', nextId())]), (answer) => answers.push(answer), 500, 'work'),
    );
    await Promise.allSettled(sent);
    expect([answers, given]).toEqual([[], []]);
    await transport.close();
    await server.close();
  });
});
