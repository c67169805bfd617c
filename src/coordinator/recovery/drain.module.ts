import { Module, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { ModuleRef, ModulesContainer } from '@nestjs/core';
import { endAll } from '../end-all.js';
import { CoordinatorLifecycle } from './coordinator-lifecycle.js';

/**
 * Drains the coordinator before any other module is destroyed. Nest destroys modules in the order of their
 * distance from the root, and global ones last. Many applications close the pools and clients of participants
 * in onModuleDestroy, while running transactions still need them. So this module is nearer to the root. For
 * the same reason it is the last to be told that the application has started: then every listener exists.
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
    await endAll(this.lifecycles().map((lifecycle) => () => lifecycle.stop()));
  }

  private lifecycles(): CoordinatorLifecycle[] {
    return this.application.get(CoordinatorLifecycle, { strict: false, each: true });
  }
}
