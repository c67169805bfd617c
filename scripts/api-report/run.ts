/**
 * Compares the public types of each entry of the library with their report in packages/nestjs-dtc/api, and
 * fails on a difference. With --update it writes the reports anew.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CompilerState,
  Extractor,
  ExtractorConfig,
  ExtractorLogLevel,
  type ExtractorMessage,
  type IConfigFile,
} from '@microsoft/api-extractor';

const REPOSITORY = join(import.meta.dirname, '../..');
const PACKAGE = join(REPOSITORY, 'packages/nestjs-dtc');
const REPORTS = join(PACKAGE, 'api');
const WORK = join(REPOSITORY, 'build/api');
const SILENT = { logLevel: ExtractorLogLevel.None };
/** The base class that Nest makes for a module. The options for users are in the module itself. */
const BASE_OF_MODULE = 'ConfigurableModuleClass';
/**
 * Only the heads of the classes of outboxes name these types, for internal members. The shipped types have
 * them in files of their own, and no user needs one.
 */
const OF_OUTBOXES = new Set([
  'OutboxDesk',
  'OutboxStatements',
  'PostgresOutboxStatements',
  'MariaDbOutboxStatements',
  'Session',
]);
const isUpdate = process.argv.includes('--update');

const { exports } = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')) as {
  exports: Readonly<Record<string, { readonly types: string } | string>>;
};

await rm(WORK, { recursive: true, force: true });
await mkdir(REPORTS, { recursive: true });
emitTypes();

const configurations = Object.entries(exports).flatMap(([entry, target]) =>
  typeof target === 'string' ? [] : [configurationOf(entry, target.types)],
);
const compilerState = CompilerState.create(configurations[0]!, {
  additionalEntryPoints: configurations.map(({ mainEntryPointFilePath }) => mainEntryPointFilePath),
});
let isDifferent = false;
for (const configuration of configurations) {
  const { apiReportChanged, errorCount } = Extractor.invoke(configuration, {
    compilerState,
    localBuild: isUpdate,
    messageCallback,
  });
  if (errorCount > 0) process.exitCode = 1;
  if (!apiReportChanged || isUpdate) continue;
  isDifferent = true;
  show(configuration);
}
if (isDifferent) {
  console.error(
    'The public types differ from their reports in packages/nestjs-dtc/api. If that is what you want, run ' +
      '"npm run api" and commit the reports.',
  );
  process.exitCode = 1;
}

/** Writes the types as the package ships them, without internal ones. */
function emitTypes(): void {
  const tsc = join(REPOSITORY, 'node_modules/typescript/bin/tsc');
  const options = ['-p', PACKAGE, '--outDir', join(WORK, 'dist'), '--emitDeclarationOnly', '--noCheck'];
  const { status, error } = spawnSync(process.execPath, [tsc, ...options], { stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

function configurationOf(entry: string, types: string): ExtractorConfig {
  const name = entry === '.' ? 'index' : entry.slice('./'.length);
  const configObject: IConfigFile = {
    projectFolder: PACKAGE,
    mainEntryPointFilePath: join(WORK, types),
    compiler: { tsconfigFilePath: join(PACKAGE, 'tsconfig.json') },
    newlineKind: 'lf',
    apiReport: { enabled: true, reportFileName: name, reportFolder: REPORTS, reportTempFolder: WORK },
    docModel: { enabled: false },
    dtsRollup: { enabled: false },
    tsdocMetadata: { enabled: false },
    // The reports list the names and types. Whether they are documented is checked elsewhere.
    messages: {
      extractorMessageReporting: {
        default: SILENT,
        'ae-forgotten-export': { logLevel: ExtractorLogLevel.Error },
      },
      tsdocMessageReporting: { default: SILENT },
    },
  };
  return ExtractorConfig.prepare({
    configObject,
    configObjectFullPath: undefined,
    packageJsonFullPath: join(PACKAGE, 'package.json'),
  });
}

function show({ reportFilePath, reportTempFilePath }: ExtractorConfig): void {
  const diff = ['--no-pager', 'diff', '--no-index', reportFilePath, reportTempFilePath];
  spawnSync('git', diff, { stdio: 'inherit' });
}

/** Other entries need not export again the names of the main entry: users import them from there. */
function isForgotten(text: string): boolean {
  const name = /The symbol "(?<name>\w+)"/.exec(text)?.groups?.name;
  if (name === BASE_OF_MODULE || OF_OUTBOXES.has(name ?? '')) return false;
  const report = readFileSync(join(REPORTS, 'index.api.md'), 'utf8');
  return !new RegExp(
    `^export (?:abstract )?(?:class|const|enum|function|interface|type) ${name}\\b`,
    'm',
  ).test(report);
}

/** Leaves out how to copy a report by hand, and messages that matter only when nothing is wrong. */
function messageCallback(message: ExtractorMessage): void {
  if (message.messageId === 'ae-forgotten-export' && !isForgotten(message.text)) {
    message.logLevel = ExtractorLogLevel.None;
  }
  const isOfInterest = message.logLevel === ExtractorLogLevel.Error || isUpdate;
  if (message.messageId === 'console-api-report-not-copied' || !isOfInterest) message.handled = true;
}
