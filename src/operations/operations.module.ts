import {
  Controller,
  type DynamicModule,
  type ForwardReference,
  Inject,
  Logger,
  Module,
  type OnApplicationBootstrap,
  type Provider,
  type Type,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
  VERSION_NEUTRAL,
} from '@nestjs/common';
import { APP_GUARD, DiscoveryModule, DiscoveryService } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import { InvalidOptionsError } from '../coordinator/index.js';
import { CoordinatorHealthIndicator } from './coordinator-health.indicator.js';
import { Access } from './access/access.js';
import { AnyMember } from './members/any-member.js';
import { MemberCallsController, MemberGuard } from './members/member-calls.controller.js';
import { MemberClient } from './members/member-client.js';
import { MemberTokens, memberProblemsOf } from './members/member-tokens.js';
import { MemberWatch } from './members/member-watch.js';
import { OwnAnswers } from './members/own-answers.js';
import { CoordinatorController } from './coordinator.controller.js';
import { DatabaseWatch } from './databases/database-watch.js';
import { DatabasesController } from './databases.controller.js';
import { DashboardController } from './dashboard.controller.js';
import { EventsController } from './events.controller.js';
import { Exports } from './export.js';
import { GroupActions } from './group-actions.js';
import { HealthController } from './health.controller.js';
import { Links, linkProblemsOf, pageProblemsOf } from './links.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { MetricsController } from './metrics.controller.js';
import type {
  OperationsAsyncOptions,
  OperationsConfiguration,
  OperationsOptions,
  OperationsRoutes,
} from './operations.options.js';
import { Outboxes } from './outboxes/outboxes.js';
import { OutboxesController } from './outboxes.controller.js';
import { OverviewStream } from './overview-stream.js';
import { ParticipantsController } from './participants.controller.js';
import { Reply } from './reply.js';
import { TransactionsController } from './transactions.controller.js';

type Route = readonly [path: string, controller: Type];

/** The routes that {@link Access} guards, and where each is. */
const GUARDED_ROUTES: readonly Route[] = [
  ['transactions', TransactionsController],
  ['participants', ParticipantsController],
  ['databases', DatabasesController],
  ['outboxes', OutboxesController],
  ['', CoordinatorController],
  ['events', EventsController],
  ['metrics', MetricsController],
];

/** The routes that need no credential of a reader or an operator. The other members have one of their own. */
const OPEN_ROUTES: readonly Route[] = [
  ['members/calls', MemberCallsController],
  ['dashboard', DashboardController],
  ['health', HealthController],
];

const PREFIX = /^\/?[\w.~-]+(\/[\w.~-]+)*\/?$/;

const IMPORTS = [DiscoveryModule, TerminusModule, MetricsModule];
const PROVIDERS: readonly Provider[] = [
  CoordinatorHealthIndicator,
  OverviewStream,
  Reply,
  OwnAnswers,
  MemberClient,
  MemberGuard,
  MemberWatch,
  AnyMember,
  DatabaseWatch,
  GroupActions,
  Exports,
  Outboxes,
];
const EXPORTS = [CoordinatorHealthIndicator, MetricsModule];

/**
 * HTTP for operators: transactions, participants, the coordinator, metrics, health, a dashboard, and what can
 * be done. Import it beside CoordinatorModule where these routes are wanted. Without {@link
 * OperationsModule.forRoot} no one may see or act, and only health is answered.
 *
 * @publicApi
 */
@Module({
  imports: IMPORTS,
  controllers: [...GUARDED_ROUTES, ...OPEN_ROUTES].map(([, controller]) => controller),
  providers: [
    ...PROVIDERS,
    { provide: Access, useValue: new Access({}) },
    { provide: MemberTokens, useValue: new MemberTokens(undefined) },
    { provide: Links, useValue: new Links() },
  ],
  exports: EXPORTS,
})
export class OperationsModule {
  /**
   * @param options the callers that may see and act, and the paths of the routes.
   * @throws InvalidOptionsError when an option is impossible: a token, for instance, that is missing or too
   * short.
   */
  static forRoot(options: OperationsOptions): DynamicModule {
    const { prefix, decorators, ...rest } = options ?? {};
    const checked = checkedOf(rest);
    return configured({ prefix, decorators }, [], (decorate) => {
      decorate(checked.access);
      return { provide: CHECKED, useValue: checked };
    });
  }

  /**
   * As {@link OperationsModule.forRoot}, with what the application injects: tokens of a configuration
   * service, or a guard of its own.
   *
   * @throws InvalidOptionsError at the start, as `forRoot` does.
   */
  static forRootAsync({
    imports = [],
    inject = [],
    useFactory,
    ...routes
  }: OperationsAsyncOptions): DynamicModule {
    return configured(routes, imports, (decorate) => ({
      provide: CHECKED,
      inject,
      useFactory: async (...dependencies: unknown[]) => {
        const checked = checkedOf(await useFactory(...dependencies));
        decorate(checked.access);
        return checked;
      },
    }));
  }
}

/** The checked configuration. */
interface Checked {
  readonly access: Access;
  readonly tokens: MemberTokens;
  readonly links: Links;
}

const CHECKED = Symbol('CHECKED');

/** @throws InvalidOptionsError when an option is impossible. */
function checkedOf(options: OperationsConfiguration): Checked {
  const { members, links, pages, ...rest } = options ?? {};
  const access = new Access(options && rest);
  const { readers = [], operators = [] } = rest;
  const taken = [...(readers === 'anyone' ? [] : readers), ...operators].map(({ token }) => token);
  const problems = [...memberProblemsOf(members, taken), ...linkProblemsOf(links), ...pageProblemsOf(pages)];
  if (problems.length > 0) throw new InvalidOptionsError('OperationsModule', problems);
  return { access, tokens: new MemberTokens(members), links: new Links(links, pages) };
}

/**
 * The metadata that Nest reads from a class before it calls a factory. A decorator of these kinds would have
 * no effect on routes that are decorated when the factory has answered.
 */
const ENHANCERS = keysWrittenBy([UseGuards(), UsePipes(), UseInterceptors(), UseFilters()]);

/** The decorators that were given for the routes. */
const DECORATORS = Symbol('DECORATORS');

/** The module of `forRoot`. OperationsModule itself has its routes without a prefix. */
@Module({})
class ConfiguredOperationsModule implements OnApplicationBootstrap {
  private readonly logger = new Logger(OperationsModule.name);

  constructor(
    private readonly discovery: DiscoveryService,
    @Inject(DECORATORS) private readonly decorators: readonly ClassDecorator[],
  ) {}

  /** A check of health that a guard refuses looks like a process that is ill. */
  onApplicationBootstrap(): void {
    const isGuarded = this.discovery.getProviders().some(({ token }) => String(token).startsWith(APP_GUARD));
    if (!isGuarded || this.decorators.length > 0) return;
    this.logger.warn(
      'The application has a global guard, which also guards the routes of OperationsModule, /health and the dashboard included: a ' +
        'probe that it does not let in gets an error. Give OperationsModule the decorator by which your guard lets routes pass: ' +
        'decorators: [Public()]. With authorize it reaches only /health and the files of the dashboard.',
    );
  }
}

function configured(
  { prefix = '', decorators = [], ...unknown }: OperationsRoutes,
  imports: readonly (Type | DynamicModule | Promise<DynamicModule> | ForwardReference)[],
  provideChecked: (decorate: (access: Access) => void) => Provider,
): DynamicModule {
  const problems = Object.keys(unknown).map(
    (key) => `${key}: is not an option of forRootAsync; who may see and act is what useFactory returns`,
  );
  if (!Array.isArray(decorators) || decorators.some((decorate) => typeof decorate !== 'function')) {
    problems.push('decorators: must be a list of decorators, such as [Public()]');
  }
  if (problems.length > 0) throw new InvalidOptionsError('OperationsModule', problems);
  if (prefix !== '' && (typeof prefix !== 'string' || !PREFIX.test(prefix))) {
    throw new InvalidOptionsError('OperationsModule', [
      'prefix: must be a path of letters, digits, "-", "_", "." and "~", such as "admin"; it takes no parameters',
    ]);
  }
  if (keysWrittenBy(decorators).some((key) => ENHANCERS.includes(key))) {
    throw new InvalidOptionsError('OperationsModule', [
      'decorators: may only set metadata, as Public() does; bind a guard, a pipe, an interceptor or a filter in the application instead',
    ]);
  }
  const base = prefix.replaceAll(/^\/|\/$/g, '');
  const guarded = GUARDED_ROUTES.map(([path, controller]) => routesAt(`${base}/${path}`, controller));
  const open = OPEN_ROUTES.map(([path, controller]) => routesAt(`${base}/${path}`, controller));
  decorateAll(open, decorators);
  let isAuthorized: boolean | undefined;
  const checked = provideChecked(({ authorize }) => {
    isAuthorized ??= authorize !== undefined;
    // The metadata of a decorator stays on the routes, and all applications with this module object share
    // them.
    if (decorators.length > 0 && isAuthorized !== (authorize !== undefined)) {
      throw new InvalidOptionsError('OperationsModule', [
        'one module object is used in two applications, one with authorize and one without: call forRootAsync() once for each application',
      ]);
    }
    // A guard that authorize calls reads the metadata too, and would let every caller pass.
    if (authorize === undefined) decorateAll(guarded, decorators);
  });
  return {
    module: ConfiguredOperationsModule,
    imports: [...IMPORTS, ...imports],
    controllers: [...guarded, ...open],
    providers: [
      ...PROVIDERS,
      { provide: DECORATORS, useValue: decorators },
      checked,
      { provide: Access, inject: [CHECKED], useFactory: ({ access }: Checked) => access },
      { provide: MemberTokens, inject: [CHECKED], useFactory: ({ tokens }: Checked) => tokens },
      { provide: Links, inject: [CHECKED], useFactory: ({ links }: Checked) => links },
    ],
    exports: EXPORTS,
  };
}

/**
 * A class of its own, so that what is written on it holds for this import of the module alone. It inherits
 * all else.
 */
function routesAt(path: string, controller: Type): Type {
  const { [controller.name]: routes } = { [controller.name]: class extends controller {} };
  Controller({ path, version: VERSION_NEUTRAL })(routes!);
  return routes!;
}

function decorateAll(controllers: readonly Type[], decorators: readonly ClassDecorator[]): void {
  for (const controller of controllers) for (const decorate of decorators) decorate(controller);
}

/** The keys of the metadata that these decorators write on a class. */
function keysWrittenBy(decorators: readonly ClassDecorator[]): readonly unknown[] {
  const target = class extends HealthController {};
  decorateAll([target], decorators);
  return Reflect.getOwnMetadataKeys(target);
}
