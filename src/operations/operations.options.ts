import type { FactoryProvider, ModuleMetadata } from '@nestjs/common';
import type { OperationsAccess } from './access/access.js';

/** Where the routes are, and what is written on them. Known before the application is made. @publicApi */
export interface OperationsRoutes {
  /**
   * A path before all routes of this module: with `admin`, the dashboard is at `/admin/dashboard`. The global prefix of the
   * application comes before it.
   *
   * @default none
   */
  readonly prefix?: string | undefined;
  /**
   * Decorators for the routes of this module. A global guard also guards these routes, health included. Give here the decorator by
   * which it lets routes pass: `decorators: [Public()]`. With tokens all routes get them, and keep their check of the token. With
   * `authorize` only the routes that need no credential get them: health and the files of the dashboard. They may only set metadata.
   *
   * @default none
   */
  readonly decorators?: readonly ClassDecorator[] | undefined;
}

/** What `OperationsModule.forRoot` takes. @publicApi */
export interface OperationsOptions extends OperationsAccess, OperationsRoutes {}

/** What `OperationsModule.forRootAsync` takes. @publicApi */
export interface OperationsAsyncOptions extends OperationsRoutes, Pick<ModuleMetadata, 'imports'> {
  readonly inject?: FactoryProvider['inject'];
  /** @returns who may see and act. */
  // oxlint-disable-next-line typescript/no-explicit-any -- what is injected has the types that the factory asks for
  readonly useFactory: (...dependencies: any[]) => OperationsAccess | Promise<OperationsAccess>;
}
