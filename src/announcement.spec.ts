import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Announcement, sentencesOf, textOf } from './announcement.js';

const databases = { order: 'postgres://o', inventory: 'postgres://i', payment: 'postgres://p' };

function announcement(configuration: Announcement['configuration']): Announcement {
  return { url: 'http://127.0.0.1:3000', participants: ['order', 'payment'], configuration };
}

describe('the announcement of a start', () => {
  it('says where the application is, with the documentation and the dashboard', () => {
    const started = announcement({ decisionLog: { kind: 'memory' } });

    expect(sentencesOf(started)[0]).toBe(
      'Listening on http://127.0.0.1:3000, documentation at /docs, dashboard at /dashboard',
    );
    const text = textOf(started);
    for (const value of ['http://127.0.0.1:3000/docs', 'http://127.0.0.1:3000/dashboard', 'order, payment']) {
      expect(text).toContain(value);
    }
    expect(text.trim().split('\n').length).toBeLessThan(12);
    expect(text).not.toMatch(/demo/i);
  });

  it('says where the page of a demonstration is', () => {
    const started = announcement({ decisionLog: { kind: 'memory' }, demo: true });

    expect(sentencesOf(started)[0]).toMatch(/, demonstration at \/demo$/);
    expect(textOf(started)).toContain('Demonstration  http://127.0.0.1:3000/demo');
  });

  it.each<[string, Announcement['configuration'], RegExp]>([
    ['in memory', { decisionLog: { kind: 'memory' } }, /in memory.*start:postgres/],
    [
      'in memory beside databases',
      { decisionLog: { kind: 'memory' }, databases },
      /in memory.*unset DECISION_LOG/,
    ],
    [
      'in a folder',
      { decisionLog: { kind: 'sqlite', path: 'data/decisions' }, databases },
      /in data\/decisions/,
    ],
    [
      'in a database',
      { decisionLog: { kind: 'postgres', url: 'postgres://dtc:secret@db.example/log' } },
      /in the database of DECISION_LOG_URL: a restart continues/,
    ],
    [
      'in a database beside databases',
      { decisionLog: { kind: 'postgres', url: 'postgres://dtc:secret@db.example/log' }, databases },
      /in the database of DECISION_LOG_URL: a restart continues/,
    ],
  ])('says that decisions are %s, and what a restart keeps', (_, configuration, wanted) => {
    const started = announcement(configuration);

    expect(sentencesOf(started)[1]).toMatch(wanted);
    expect(textOf(started)).toMatch(wanted);
    for (const text of [sentencesOf(started).join(), textOf(started)]) {
      expect(text).not.toMatch(/secret|db\.example/);
    }
  });

  it('is what the page on the application shows', () => {
    const started = {
      ...announcement({ decisionLog: { kind: 'memory' } }),
      participants: ['order', 'inventory', 'payment'],
    };
    const page = readFileSync(join(import.meta.dirname, '../docs/application.md'), 'utf8');

    expect(page).toContain(`\`\`\`text\n${textOf(started).trim()}\n\`\`\``);
  });

  it('names the server that was started with the application', () => {
    const started = {
      ...announcement({ decisionLog: { kind: 'sqlite', path: 'data/decisions' }, databases }),
      server: { address: '127.0.0.1:5433', folder: 'data/postgres' },
    };

    expect(sentencesOf(started)[2]).toMatch(/^PostgreSQL is at 127\.0\.0\.1:5433, .* data\/postgres$/);
    expect(textOf(started)).toContain(
      '127.0.0.1:5433, its data and the password of postgres are in data/postgres',
    );
  });
});
