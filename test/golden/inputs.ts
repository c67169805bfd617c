import { HeuristicError, type HeuristicError as Heuristic, refuse } from '../../src/coordinator/index.js';
import { METHODS, type Method } from './actors.js';
import { type Stage, workFor } from './stage.js';

type Action = (stage: Stage, ...words: (string | undefined)[]) => void | Promise<void>;

const CALL = `(${METHODS.join('|')})(?: of attempt (\\d+))?`;

/** Everything that a transcript can put in: how it is written, and what it does. */
const GRAMMAR: readonly [RegExp, Action][] = [
  [/^run (.+?)( with a signal)?$/, (stage, names, signal) => stage.run(names!, signal !== undefined)],
  [/^begin(?: for (\d+) ms)?$/, (stage, ms) => stage.begin(ms === undefined ? undefined : Number(ms))],
  [/^enlist (\S+)(?: as (\S+))?$/, enlist],
  [/^commit$/, (stage) => stage.ask('commit', (transaction) => transaction.commit())],
  [/^roll back(?:: (.+))?$/, (stage, reason) => stage.ask('rollback', (it) => it.rollback(reason))],
  [/^rule commit out(?:: (.+))?$/, (stage, reason) => stage.ask('that', (it) => it.setRollbackOnly(reason))],
  [/^the caller aborts its signal: (.+)$/, (stage, reason) => stage.abortSignal(reason!)],
  [new RegExp(`^(\\S+) answers ${CALL}(?:: (.+))?$`), answer],
  [new RegExp(`^(\\S+) throws in ${CALL}: (.+)$`), throwInCall],
  [new RegExp(`^(\\S+) reports in ${CALL}: (commit|rollback|mixed|hazard), (.+)$`), reportHeuristic],
  [/^(\d+) ms pass$/, (stage, ms) => stage.passTime(Number(ms))],
  [/^the log has written it$/, (stage) => stage.log.written()],
  [/^the log fails: (.+)$/, (stage, message) => stage.log.fails(message!)],
  [/^the log finds it (recorded|absent)$/, (stage, found) => stage.log.finds(found as 'recorded' | 'absent')],
  [/^the recovery job runs$/, (stage) => stage.recover()],
  [/^participant (\S+) is removed$/, (stage, name) => stage.remove(name!)],
  [/^an operator looks$/, (stage) => stage.show()],
  [/^an operator forgets the reports$/, (stage) => stage.forget()],
];

/** Joins inputs that come in the same turn, before anything that one of them causes. */
const AT_ONCE = '; at the same moment: ';

/** Carries one input line out. */
export async function perform(stage: Stage, input: string): Promise<void> {
  await Promise.all(input.split(AT_ONCE).map((part) => performOne(stage, part)));
}

async function performOne(stage: Stage, input: string): Promise<void> {
  for (const [form, action] of GRAMMAR) {
    const match = form.exec(input);
    if (match !== null) return action(stage, ...match.slice(1));
  }
  throw new Error(`"${input}" is no input that a transcript can have.`);
}

function enlist(stage: Stage, name?: string, branchId?: string): void {
  const request = { participant: name!, payload: workFor(name!), branchId };
  stage.ask(`enlist ${name}`, (transaction) => transaction.enlist(request));
}

function answer(stage: Stage, name?: string, method?: string, attempt?: string, value?: string): void {
  open(stage, name, method, attempt).resolve(valueOf(value) as never);
}

function throwInCall(stage: Stage, name?: string, method?: string, attempt?: string, message?: string): void {
  open(stage, name, method, attempt).reject(new Error(message));
}

function reportHeuristic(stage: Stage, ...words: (string | undefined)[]): void {
  const [name, method, attempt, kind, reason] = words;
  open(stage, name, method, attempt).reject(new HeuristicError(kind as Heuristic['kind'], reason!));
}

function open(stage: Stage, name?: string, method?: string, attempt?: string): PromiseWithResolvers<never> {
  return stage.actor(name!).take(method as Method, attempt === undefined ? undefined : Number(attempt));
}

/** `commit`, `read-only` and `abort` are themselves, `abort CODE, reason` is a refusal with both. */
function valueOf(text: string | undefined): unknown {
  if (text === undefined || text === 'undefined') return undefined;
  const refusal = /^abort ([A-Z_]+), (.+)$/.exec(text);
  return refusal === null ? text : refuse(refusal[1]!, refusal[2]!);
}
