import { expect, it } from 'vitest';
import {
  LAST_RESOURCE_DEFECTS,
  LAST_RESOURCE_STATES,
  type LastResourceDefect,
  lastResourceModel,
} from './last-resource.js';
import { search } from './search.js';

it('a last resource: every state keeps AC1 to AC3, M1 and what the caller was told, and can end (AC5)', () => {
  const { states, violation, stuck } = search(lastResourceModel());
  expect({ violation, stuck }).toEqual({ violation: undefined, stuck: undefined });
  expect(states).toBe(LAST_RESOURCE_STATES);
});

it.each(Object.entries(LAST_RESOURCE_DEFECTS))('a last resource: is found out: %s (%s)', (defect) => {
  const { violation, stuck } = search(lastResourceModel(defect as LastResourceDefect));
  expect(violation ?? stuck).toBeDefined();
});
