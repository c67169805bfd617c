import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import {
  InvalidOptionsError,
  type LoggedRegistration,
  type ParticipantRegistration,
} from '../coordinator/index.js';

/**
 * Keeps the addresses of participants that have registered themselves. A shared decision log is such a store,
 * and {@link RegistrationFile} is one for a coordinator with a log of its own.
 *
 * @publicApi
 */
export interface RegistrationStore {
  /** Keeps a registration. One of the same name is replaced. Its promise resolves when it is durable. */
  register(registration: ParticipantRegistration): Promise<void>;
  /** Marks a registration as removed. */
  unregister(name: string): Promise<void>;
  /** @returns all registrations, those that were removed included. */
  registrations(): Promise<readonly LoggedRegistration[]>;
}

const FILE = z.strictObject({
  version: z.literal(1),
  registrations: z
    .array(
      z.strictObject({
        name: z.string().max(200),
        address: z.string().max(2_000),
        details: z.unknown(),
        revision: z.number().int().min(1),
        isRemoved: z.boolean(),
      }),
    )
    .max(10_000),
});

/**
 * Keeps registrations in a file, beside the embedded decision log. Each change writes the whole file anew and
 * flushes it before it takes the place of the old one.
 *
 * @publicApi
 */
export class RegistrationFile implements RegistrationStore {
  private readonly kept = new Map<string, LoggedRegistration>();
  private revision = 0;

  /**
   * @param path the file. It is made when it is missing, and its folder too.
   * @throws InvalidOptionsError when the file cannot be read, or is damaged.
   */
  constructor(private readonly path: string) {
    for (const registration of read(path)) {
      this.kept.set(registration.name, registration);
      this.revision = Math.max(this.revision, registration.revision);
    }
  }

  async register({ name, address, details }: ParticipantRegistration): Promise<void> {
    this.keep({ name, address, details, revision: this.revision + 1, isRemoved: false });
  }

  async unregister(name: string): Promise<void> {
    const known = this.kept.get(name);
    if (known !== undefined) this.keep({ ...known, revision: this.revision + 1, isRemoved: true });
  }

  async registrations(): Promise<readonly LoggedRegistration[]> {
    return [...this.kept.values()];
  }

  /** Nothing has changed in memory when the file cannot be written. */
  private keep(registration: LoggedRegistration): void {
    const next = new Map(this.kept).set(registration.name, registration);
    const text = JSON.stringify({ version: 1, registrations: [...next.values()] });
    const folder = dirname(this.path);
    mkdirSync(folder, { recursive: true });
    const draft = join(folder, `.${process.pid}.${registration.revision}.registrations`);
    flushed(draft, 'w', (file) => void writeSync(file, text));
    renameSync(draft, this.path);
    flushed(folder, 'r', () => {});
    this.kept.set(registration.name, registration);
    this.revision = registration.revision;
  }
}

function flushed(path: string, flags: string, write: (file: number) => void): void {
  const file = openSync(path, flags);
  try {
    write(file);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function read(path: string): readonly LoggedRegistration[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw refused(path, String(error));
  }
  try {
    return FILE.parse(JSON.parse(text)).registrations;
  } catch {
    throw refused(path, 'it is not a file of registrations, or it is damaged');
  }
}

function refused(path: string, problem: string): InvalidOptionsError {
  return new InvalidOptionsError('RegistrationFile', [
    `${path}: ${problem}. Restore it from a backup; or delete it, and let every host register again before the start`,
  ]);
}
