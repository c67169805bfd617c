/** How often the page asks for the present state, in milliseconds. */
const REFRESH_MS = 1_000;

/** The faults that the page offers, by what their buttons say. */
const FAULTS = {
  prepare: { hangs: 'hang', fails: 'throw', 'is slow': 'slow', refuses: 'refuse' },
  commit: { hangs: 'hang', fails: 'throw', 'is slow': 'slow' },
};

/** What the dashboard keeps the token of its reader under. */
const TOKEN_OF_DASHBOARD = 'dtc.token';

const NO_ANSWER = 'The application does not answer.';

const byId = (id) => document.querySelector(`#${id}`);

/**
 * Sends a request, and shows why it failed if it did.
 *
 * @returns the answer; undefined when there is none, or when it has no body.
 */
async function ask(method, path, body) {
  try {
    const response = await fetch(`/demo/${path}`, {
      method,
      ...(body !== undefined && {
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      }),
    });
    if (response.status === 204) return undefined;
    const answer = await response.json();
    if (response.ok) return answer;
    say([answer.detail, ...(answer.errors ?? [])].join(' '));
  } catch {
    say(NO_ANSWER);
  }
  return undefined;
}

function say(text) {
  byId('message').textContent = text;
}

function element(name, text, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

function button(text, label, onClick) {
  const made = element('button', text);
  made.type = 'button';
  made.setAttribute('aria-label', label);
  made.addEventListener('click', () => void onClick());
  return made;
}

async function act(done, method, path, body) {
  say('');
  const answer = await ask(method, path, body);
  if (byId('message').textContent === '') say(typeof done === 'function' ? done(answer) : done);
  await refresh();
}

function faultButtons(participant, method) {
  return Object.entries(FAULTS[method]).map(([text, fault]) =>
    button(text, `${participant} ${text} in ${method}`, () => {
      const seconds = Number(byId('duration').value);
      const body = { method, fault, ...(seconds > 0 && { forMs: seconds * 1_000 }) };
      return act(`${participant} ${text} in ${method}.`, 'PUT', `faults/${participant}`, body);
    }),
  );
}

function rowOf(participant) {
  const name = element('th', participant);
  name.scope = 'row';
  const now = element('td');
  now.dataset.participant = participant;
  return element('tr', undefined, [
    name,
    element('td', undefined, faultButtons(participant, 'prepare')),
    element('td', undefined, faultButtons(participant, 'commit')),
    now,
  ]);
}

function showFaults(faults) {
  const body = byId('participants');
  const names = Object.keys(faults);
  if (body.children.length !== names.length) body.replaceChildren(...names.map(rowOf));
  for (const cell of body.querySelectorAll('[data-participant]')) {
    const { participant } = cell.dataset;
    const text = faults[participant].map(({ method, fault }) => `${method}: ${fault}`).join(', ');
    if (cell.dataset.text === text) continue;
    cell.dataset.text = text;
    cell.replaceChildren(text === '' ? 'works' : text);
    if (text !== '') {
      const end = () => act(`${participant} works again.`, 'DELETE', `faults/${participant}`);
      cell.append(' ', button('End the fault', `End the fault of ${participant}`, end));
    }
  }
}

function showLoad({ running, plan, endsAt, started, leftOut, open, counts, restocks, lastRefusal }) {
  if (plan === null) return;
  const until = new Date(endsAt).toLocaleTimeString();
  const refused = lastRefusal === null ? '' : ` The last refusal: ${lastRefusal}`;
  byId('load-state').textContent = running
    ? `${plan.perSecond} orders per second until ${until}.${refused}`
    : `The traffic has ended.${refused}`;
  const shown = { started, open, ...counts, 'left out': leftOut, restocks };
  byId('counts').replaceChildren(
    ...Object.entries(shown).map(([name, value]) =>
      element('div', undefined, [element('dt', name), element('dd', String(value))]),
    ),
  );
}

function toldOfSupplies({ pieces, paidIn: { amount, currency } }) {
  return `${pieces} pieces were delivered, and ${(amount / 100).toFixed(2)} ${currency} were paid in.`;
}

async function refresh() {
  const [faults, load] = await Promise.all([ask('GET', 'faults'), ask('GET', 'load')]);
  if (load !== undefined && byId('message').textContent === NO_ANSWER) say('');
  if (faults !== undefined) showFaults(faults.faults);
  if (load !== undefined) showLoad(load);
}

byId('load').addEventListener('submit', (event) => {
  event.preventDefault();
  const { perSecond, minutes } = event.target.elements;
  const plan = { perSecond: Number(perSecond.value), forSeconds: Number(minutes.value) * 60 };
  void act('The traffic has started.', 'PUT', 'load', plan);
});
byId('stop').addEventListener('click', () => void act('The traffic ends.', 'DELETE', 'load'));
byId('restock').addEventListener('click', () => void act(toldOfSupplies, 'PUT', 'supplies'));

const account = await ask('GET', 'account');
if (account !== undefined) {
  byId('name').textContent = account.name;
  byId('token').textContent = account.token;
  byId('enter').addEventListener('click', () => {
    sessionStorage.setItem(TOKEN_OF_DASHBOARD, account.token);
    location.assign('/dashboard');
  });
}
/** The next question waits for the answer to the last one: an application that stands still is not asked more and more. */
async function keepUpToDate() {
  await refresh();
  setTimeout(() => void keepUpToDate(), REFRESH_MS);
}
await keepUpToDate();
