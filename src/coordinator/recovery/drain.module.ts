import { Module, type OnModuleDestroy } from '@nestjs/common';
import { ModuleRef, ModulesContainer } from '@nestjs/core';
import { CoordinatorLifecycle } from './coordinator-lifecycle.js';

/**
 * Drains the coordinator before any other module is destroyed. Nest destroys modules in the order of their distance
 * from the root, and global ones last; by then the pools and clients of participants, which many applications close in
 * onModuleDestroy, would be gone while transactions in flight still need them. So this module is nearer than the root.
 */
@Module({})
export class DrainModule implements OnModuleDestroy {
  constructor(
    private readonly application: ModuleRef,
    modules: ModulesContainer,
  ) {
    for (const module of modules.values()) {
      if (module.metatype === DrainModule) module.distance = -1;
    }
  }

  async onModuleDestroy(): Promise<void> {
    const lifecycles = this.application.get(CoordinatorLifecycle, { strict: false, each: true });
    await Promise.all(lifecycles.map((lifecycle) => lifecycle.drain()));
  }
}
