import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PROTOCOL_FIELDS, ProtocolTransaction, copyProtocolState, protocolKey } from './transaction.js';

const RUN = { seed: 2, numRuns: 300 };

/** Any values of the right types. A search must be able to tell apart even states that cannot be reached. */
const anyState = fc
  .record(
    Object.fromEntries(
      PROTOCOL_FIELDS.map((field) => [
        field,
        typeof new ProtocolTransaction()[field] === 'boolean'
          ? fc.boolean()
          : fc.integer({ min: -1, max: 9 }),
      ]),
    ),
  )
  .map((fields) => Object.assign(new ProtocolTransaction(), fields));

class DrivenTransaction extends ProtocolTransaction {
  readonly id = 'driver';
}

describe('the state of the protocol', () => {
  it('consists of numbers and booleans only, so that it can be copied and compared', () => {
    const transaction = new ProtocolTransaction();
    for (const field of PROTOCOL_FIELDS) expect(['number', 'boolean']).toContain(typeof transaction[field]);
    expect(PROTOCOL_FIELDS.toSorted()).toEqual(Object.keys(transaction).toSorted());
  });

  it('is copied in every field', () => {
    fc.assert(
      fc.property(anyState, (source) => {
        const target = new ProtocolTransaction();
        copyProtocolState(source, target);
        expect(target).toEqual(source);
      }),
      RUN,
    );
  });

  it('leaves the fields of a driver unchanged when it is copied', () => {
    const target = new DrivenTransaction();
    copyProtocolState(Object.assign(new ProtocolTransaction(), { size: 3 }), target);
    expect(target).toMatchObject({ size: 3, id: 'driver' });
  });

  it('has the same key exactly when every field is the same', () => {
    fc.assert(
      fc.property(anyState, anyState, fc.constantFrom(...PROTOCOL_FIELDS), (a, b, field) => {
        expect(protocolKey(a) === protocolKey(b)).toBe(PROTOCOL_FIELDS.every((name) => a[name] === b[name]));
        const copy = new ProtocolTransaction();
        copyProtocolState(a, copy);
        expect(protocolKey(copy)).toBe(protocolKey(a));
        const value = copy[field];
        Object.assign(copy, { [field]: typeof value === 'boolean' ? !value : value + 1 });
        expect(protocolKey(copy)).not.toBe(protocolKey(a));
      }),
      RUN,
    );
  });

  it('has different keys when the digits of its fields are the same in another grouping', () => {
    const keys = [
      { size: 1, awaiting: 11 },
      { size: 11, awaiting: 1 },
    ].map((fields) => protocolKey(Object.assign(new ProtocolTransaction(), fields)));
    expect(keys[0]).not.toBe(keys[1]);
  });
});
