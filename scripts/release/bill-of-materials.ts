/** The part of a CycloneDX document that is read here. */
export interface Bom {
  readonly metadata: { readonly component: { readonly name: string; readonly version: string } };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

export interface Component {
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
}

/** The part of a lock file that is read here. */
export interface Lock {
  readonly name: string;
  readonly packages: Readonly<
    Record<
      string,
      {
        readonly version?: string;
        readonly dev?: boolean;
        /** Needed by development, and optional for the rest. */
        readonly devOptional?: boolean;
        readonly optional?: boolean;
        readonly link?: boolean;
      }
    >
  >;
}

const FOLDER = 'node_modules/';

/**
 * Leaves only what `npm ci --omit=dev --omit=optional` installs, and the workspaces. The option `--omit dev`
 * of `npm sbom` is of no use: it also leaves out each package that a development dependency needs too, such
 * as `@nestjs/common`.
 *
 * @param bom of everything.
 */
export function withoutDevelopment<B extends Bom>(bom: B, lock: Lock): B {
  const shipped = new Set(
    Object.entries(lock.packages)
      .filter(([path, entry]) => path.includes(FOLDER) && isShipped(entry))
      .map(([path, { version }]) => `${path.slice(path.lastIndexOf(FOLDER) + FOLDER.length)}@${version}`),
  );
  const workspaces = Object.keys(lock.packages).filter((path) => path !== '' && !path.includes(FOLDER));
  const isOwn = ({ name }: Component): boolean => workspaces.some((path) => path.endsWith(`/${name}`));
  const components = bom.components.filter(
    (component) => isOwn(component) || shipped.has(`${component.name}@${component.version}`),
  );
  const refs = new Set(components.map((component) => component['bom-ref']));
  const { component } = bom.metadata;
  const root = `${lock.name}@${component.version}`;
  return {
    ...bom,
    // npm calls it by the folder.
    metadata: { ...bom.metadata, component: { ...component, name: lock.name } },
    components,
    dependencies: bom.dependencies
      .filter(({ ref }) => ref === root || refs.has(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((each) => refs.has(each)) })),
  };
}

function isShipped({ dev, devOptional, optional, link }: Lock['packages'][string]): boolean {
  return [dev, devOptional, optional, link].every((flag) => flag !== true);
}
