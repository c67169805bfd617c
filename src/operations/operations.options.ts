import type { FactoryProvider, ModuleMetadata } from '@nestjs/common';
import type { OperationsAccess } from './access/access.js';
import type { LinkTemplate, PageLink } from './links.js';
import type { MembersOptions } from './members/member-tokens.js';

/** Where the routes are, and what is written on them. Known before the application is made. @publicApi */
export interface OperationsRoutes {
  /**
   * A path before all routes of this module: with `admin`, the dashboard is at `/admin/dashboard`. The global
   * prefix of the application comes before it.
   *
   * @default none
   */
  readonly prefix?: string | undefined;
  /**
   * Decorators for the routes of this module. A global guard also guards these routes, health included. Give
   * here the decorator by which it lets routes pass: `decorators: [Public()]`. With tokens all routes get
   * them, and keep their check of the token. With `authorize` only the routes that need no credential get
   * them: health and the files of the dashboard. They may only set metadata.
   *
   * @default none
   */
  readonly decorators?: readonly ClassDecorator[] | undefined;
}

/** The callers that may see and act, and how the members of a shared log ask each other. @publicApi */
export interface OperationsConfiguration extends OperationsAccess {
  /**
   * How the members of a shared log ask each other. The address of a member is the option `memberAddress` of
   * CoordinatorModule: the URL that leads to these routes, with their prefix.
   *
   * @default they do not ask each other: then a member answers from its memory and from the log
   */
  readonly members?: MembersOptions | undefined;
  /**
   * Links that the dashboard shows with each transaction, to its trace, its log lines or any other tool: at
   * most 10.
   *
   * @default none
   */
  readonly links?: readonly LinkTemplate[] | undefined;
  /**
   * Pages of the application that the dashboard links beside its own: at most 5.
   *
   * @default none
   */
  readonly pages?: readonly PageLink[] | undefined;
}

/** The options of `OperationsModule.forRoot`. @publicApi */
export interface OperationsOptions extends OperationsConfiguration, OperationsRoutes {}

/** The options of `OperationsModule.forRootAsync`. @publicApi */
export interface OperationsAsyncOptions extends OperationsRoutes, Pick<ModuleMetadata, 'imports'> {
  readonly inject?: FactoryProvider['inject'];
  /** @returns the callers that may see and act, and how members ask each other. */
  // oxlint-disable-next-line typescript/no-explicit-any -- what is injected has the types that the factory asks for
  readonly useFactory: (...dependencies: any[]) => OperationsConfiguration | Promise<OperationsConfiguration>;
}
