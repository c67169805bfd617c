import { Injectable, Logger } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import { type Emitter, importEventEmitter } from './event-emitter.js';
import { listenerKeysOf, takeListenersOf } from './on-transaction.decorator.js';

/** Finds the event emitter of the application, and the methods that listen to transactions. */
@Injectable()
export class EventListeners {
  private readonly logger = new Logger(EventListeners.name);

  constructor(private readonly discovery: DiscoveryService) {}

  /**
   * Hands the methods with `@OnTransaction` to `@nestjs/event-emitter`, which adds them to the emitter when
   * the application has started.
   *
   * @returns the emitter; undefined if the application has none.
   */
  async connect(): Promise<Emitter | undefined> {
    const eventEmitter = await importEventEmitter();
    const found = this.discovery.getProviders().filter(({ token }) => token === eventEmitter?.EventEmitter2);
    // An emitter that a module has made for itself is not the one that listeners are added to.
    const own = found.find(({ host }) => host?.metatype === eventEmitter?.EventEmitterModule) ?? found[0];
    if (eventEmitter === undefined || own === undefined) {
      this.warnOfSilence();
      return undefined;
    }
    for (const { prototype, key } of this.decorated()) {
      const method: unknown = Reflect.get(prototype, key);
      if (typeof method !== 'function') continue;
      for (const { event, options } of takeListenersOf(method))
        eventEmitter.OnEvent(event, options)(prototype, key, { value: method });
    }
    return own.instance as Emitter;
  }

  private warnOfSilence(): void {
    const names = [...this.decorated()].map(
      ({ prototype, key }) => `${prototype.constructor.name}.${String(key)}`,
    );
    if (names.length === 0) return;
    this.logger.warn(
      `${names.join(', ')}: decorated with @OnTransaction, and never called, because the application has no event ` +
        'emitter. Install @nestjs/event-emitter and import EventEmitterModule.forRoot() in the root module.',
    );
  }

  private *decorated(): Iterable<{ readonly prototype: object; readonly key: string | symbol }> {
    const seen = new Set<object>();
    for (const { instance } of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      if (typeof instance !== 'object' || instance === null) continue;
      const prototype = Object.getPrototypeOf(instance) as object | null;
      if (prototype === null || seen.has(prototype)) continue;
      seen.add(prototype);
      for (const key of listenerKeysOf(prototype)) yield { prototype, key };
    }
  }
}
