import { randomBytes } from 'node:crypto';

/** The token of the settings. */
export const DEMO_SETTINGS = Symbol('DEMO_SETTINGS');

/** The settings of a demonstration, from the application. */
export interface DemoSettings {
  /** The account of the demonstration. */
  readonly operator: DemoOperator;
  /** The names by which this machine addresses itself, without a port. */
  readonly hosts: readonly string[];
}

/** An operator that exists only while an application runs for demonstration. */
export interface DemoOperator {
  readonly name: string;
  readonly token: string;
}

/** The name of the operator of a demonstration, which no other caller may have. */
export const DEMO_OPERATOR = 'demo-operator';

const TOKEN_BYTES = 24;

/**
 * @returns the operator of one start. Its token is random, so that of one start is worth nothing at any
 * other.
 */
export function demoOperator(): DemoOperator {
  return { name: DEMO_OPERATOR, token: randomBytes(TOKEN_BYTES).toString('base64url') };
}
