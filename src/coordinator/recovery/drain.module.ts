import { Module, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { ModuleRef, ModulesContainer } from '@nestjs/core';
import { CoordinatorLifecycle } from './coordinator-lifecycle.js';

/**
 * Drains the coordinator before any other module is destroyed. Nest destroys modules in the order of their distance
 * from the root, and global ones last; by then the pools and clients of participants, which many applications close in
 * onModuleDestroy, would be gone while transactions in flight still need them. So this module is nearer than the root.
 * For the same reason it is the last to hear that the application has started: then every listener is there.
 */
@Module({})
export class DrainModule implements OnApplicationBootstrap, OnModuleDestroy {
  constructor(
    private readonly application: ModuleRef,
    modules: ModulesContainer,
  ) {
    for (const module of modules.values()) {
      if (module.metatype === DrainModule) module.distance = -1;
    }
  }

  onApplicationBootstrap(): void {
    for (const lifecycle of this.lifecycles()) lifecycle.applicationStarted();
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.lifecycles().map((lifecycle) => lifecycle.drain()));
  }

  private lifecycles(): CoordinatorLifecycle[] {
    return this.application.get(CoordinatorLifecycle, { strict: false, each: true });
  }
}
