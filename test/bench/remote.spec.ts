import { describe, expect, it } from 'vitest';
import type { Rate } from '../../bench/framework/contender-runner.js';
import { levelOf } from '../../bench/remote/remote.js';
import { remoteTable, verdictOn } from '../../bench/remote/table.js';
import { UsageError, settingsFrom } from '../../bench/settings.js';

const rate = (tps: number, cpuTps: number): Rate => ({ count: 1, tps, cpuTps, troubles: undefined });

const LEVEL = levelOf(
  'http',
  100,
  {
    floor: [rate(1_000, 500), rate(2_000, 400), rate(4_000, 600)],
    coordinator: [rate(3_000, 1_000), rate(2_000, 1_000), rate(8_000, 600)],
  },
  {
    pacedTps: 1_000,
    rounds: [
      { floor: 1, coordinator: 1.5 },
      { floor: 2, coordinator: 2.1 },
      { floor: 3, coordinator: 2 },
    ],
  },
);

describe('The benchmark of participants in other processes', () => {
  it('compares the rounds one by one, and takes the median', () => {
    expect(LEVEL).toEqual({
      transport: 'http',
      inFlight: 100,
      floorTps: 2_000,
      tps: 3_000,
      ratio: 2,
      cpuRatio: 2,
      pacedTps: 1_000,
      floorMsP50: 2,
      msP50: 2,
      addedMsP50: 0.1,
    });
  });

  it('says which targets are met, and which transports are missing', () => {
    expect(verdictOn(LEVEL)).toContain(
      'at least 0.85 of the floor, met; at most 0.2 ms added in the median, met',
    );
    expect(verdictOn({ ...LEVEL, ratio: 0.84, addedMsP50: 0.21 })).toContain(
      'floor, not met; at most 0.2 ms added in the median, not met',
    );
    const table = remoteTable([LEVEL]).join('\n');
    expect(table).toContain('Targets over http with 100 in flight');
    expect(table).toContain('without a broker: tcp, grpc, nats, redis, rabbitmq');
  });

  it('can be measured alone', () => {
    expect(settingsFrom(['--only', 'remote', '--json'])).toMatchObject({
      json: true,
      parts: new Set(['remote']),
    });
    expect(() => settingsFrom(['--only', 'remotes'])).toThrow(UsageError);
  });

  it('is profiled in memory alone, and not as JSON', () => {
    expect(settingsFrom(['--only', 'memory', '--profile'])).toMatchObject({ profile: true });
    for (const args of [
      ['--profile'],
      ['--only', 'remote', '--profile'],
      ['--only', 'memory', '--profile', '--json'],
    ])
      expect(() => settingsFrom(args)).toThrow(UsageError);
  });
});
