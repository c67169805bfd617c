import { types } from 'node:util';
import { Injectable, type OnModuleInit, type Type } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import { Observable } from 'rxjs';
import { DeclarativeTransactions } from './declarative-transactions.js';
import { checkMethodOptions } from './distributed-transaction.options.js';
import { InvalidMethodError } from './errors.js';
import { type DecoratedMethod, manage, methodsOf } from './managed.js';

/**
 * Finds the instances that have decorated methods when the application starts, and gives them their
 * coordinator.
 */
@Injectable()
export class DeclarativeExplorer implements OnModuleInit {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly transactions: DeclarativeTransactions,
  ) {}

  /**
   * @throws InvalidMethodError for a method whose work has not ended when it returns, and for a class that is
   * not one instance for the whole application.
   * @throws InvalidOptionsError for invalid options.
   */
  onModuleInit(): void {
    for (const wrapper of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      const instance: unknown = wrapper.instance;
      if (typeof instance !== 'object' || instance === null) continue;
      const methods = methodsOf(instance);
      if (methods.length === 0) continue;
      for (const method of methods) check(wrapper, instance, method);
      manage(instance, this.transactions);
    }
  }
}

function check(wrapper: InstanceWrapper, instance: object, { key, options, method }: DecoratedMethod): void {
  const name = `${instance.constructor.name}.${String(key)}`;
  checkMethodOptions(options, name);
  if (!wrapper.isDependencyTreeStatic() || wrapper.isTransient) {
    throw new InvalidMethodError(
      name,
      'its class is request-scoped or transient, so it has no instance when the application starts',
      'Make it, and everything it injects, default-scoped; or use TransactionManager.begin().',
    );
  }
  if (types.isGeneratorFunction(method) || isObservableType(returnTypeOf(instance, key))) {
    throw new InvalidMethodError(
      name,
      'it returns an Observable or a generator, whose work starts only when its values are read',
      'Return a promise of its values instead.',
    );
  }
}

/** The return type that the compiler has emitted, if it has. */
function returnTypeOf(instance: object, key: string | symbol): Type | undefined {
  return Reflect.getMetadata('design:returntype', instance, key) as Type | undefined;
}

function isObservableType(type: Type | undefined): boolean {
  return typeof type === 'function' && (type === Observable || type.prototype instanceof Observable);
}
