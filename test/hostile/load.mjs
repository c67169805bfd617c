// Places orders one after another on a few connections, until it is told to end; then says what came of them.
const [url] = process.argv.slice(2);
const statuses = {};
const { signal, abort } = ending();

process.once('disconnect', () => process.exit(1));
process.once('message', abort);

function ending() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

async function place() {
  while (!signal.aborted) {
    const response = await fetch(`${url}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ customerId: 'bob', items: [{ sku: 'usb-cable', quantity: 1 }] }),
    });
    await response.arrayBuffer();
    statuses[response.status] = (statuses[response.status] ?? 0) + 1;
  }
}

process.send('ready');
await Promise.all([place(), place(), place()]);
process.send(statuses);
process.disconnect();
