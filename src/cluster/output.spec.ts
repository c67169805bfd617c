import { describe, expect, it } from 'vitest';
import { ClusterOutput } from './output.js';

function written(isForPerson: boolean, use: (output: ClusterOutput) => void): string[] {
  const lines: string[] = [];
  use(new ClusterOutput({ write: (line: string) => lines.push(line) > 0 }, isForPerson));
  return lines;
}

describe('the output of a cluster', () => {
  it('shows a person the text of each line behind the name of the member, and marks what is wrong', () => {
    const lines = written(true, (output) => {
      output.line('member-1', { fields: { level: 30, msg: 'committed' }, text: 'committed' });
      output.line('member-2', { fields: { level: 40, msg: 'late' }, text: 'late' });
      output.line('member-3', { fields: { level: 50, msg: 'broken' }, text: 'broken' });
      output.line('member-3', { text: 'no JSON' });
      output.say('member-2 was ended by SIGKILL.');
      output.failed('is on the standard error already', 'ENOSPC');
    });

    expect(lines).toEqual([
      'member-1  committed\n',
      'member-2  WARNING: late\n',
      'member-3  ERROR: broken\n',
      'member-3  no JSON\n',
      'cluster   member-2 was ended by SIGKILL.\n',
    ]);
  });

  it('spares a person the lines of each start, but no warning among them', () => {
    const fields = { context: 'ParticipantRegistry', msg: 'Participant "order"' };
    const lines = written(true, (output) => {
      output.line('member-1', { fields: { ...fields, level: 30 }, text: 'Participant "order"' });
      output.line('member-1', { fields: { ...fields, level: 40 }, text: 'Participant "order"' });
    });

    expect(lines).toEqual(['member-1  WARNING: Participant "order"\n']);
  });

  it('gives a program every line as JSON, with the member', () => {
    const fields = { level: 30, context: 'Application', msg: 'Listening' };
    const lines = written(false, (output) => {
      output.line('member-1', { fields, text: 'Listening' });
      output.line('member-1', { text: 'no JSON' });
      output.say('3 members are running');
      output.failed('The cluster did not start: no room', 'ENOSPC');
    });

    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { ...fields, member: 'member-1' },
      { msg: 'no JSON', member: 'member-1' },
      { msg: '3 members are running', member: 'cluster' },
      { level: 60, code: 'ENOSPC', msg: 'The cluster did not start: no room', member: 'cluster' },
    ]);
  });
});
