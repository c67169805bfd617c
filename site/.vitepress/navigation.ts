import { readFileSync } from 'node:fs';
import type { DefaultTheme } from 'vitepress';

type Section = DefaultTheme.SidebarItem;
const page = (text: string, link: string): Section => ({ text, link });

const PACKAGE = new URL('../../packages/nestjs-dtc/package.json', import.meta.url);
const { exports } = JSON.parse(readFileSync(PACKAGE, 'utf8')) as {
  readonly exports: Readonly<Record<string, unknown>>;
};
/** What an application imports from. */
const ENTRIES = Object.keys(exports)
  .filter((entry) => entry !== './package.json')
  .map((entry) => `nestjs-dtc${entry.slice('.'.length)}`);

/** The pages by what a reader wants. A test checks that every document is named here. */
export const SIDEBAR: Section[] = [
  {
    text: 'Start',
    items: [
      page('What it is', '/readme'),
      page('Tutorial', '/tutorial'),
      page('The application', '/application'),
      page('Three in the morning', '/incident'),
    ],
  },
  {
    text: 'Concepts',
    items: [
      page('Concepts and guarantees', '/concepts'),
      page('What survives what', '/durability'),
      page('Design', '/design'),
      page('Questions', '/faq'),
    ],
  },
  {
    text: 'How to',
    items: [
      page('Use transactions', '/using'),
      page('Add a participant', '/extending'),
      page('One that cannot prepare', '/last-resource'),
      page('Use PostgreSQL', '/postgres'),
      page('Use MariaDB', '/mariadb'),
      page('Send messages', '/messages'),
      page('Use an ORM', '/orms'),
      page('Reach participants elsewhere', '/remote'),
      page('Use transports of Nest', '/transports'),
      page('Call from other processes', '/callers'),
      page('Run the coordinator as a server', '/server'),
      page('Take part by REST-AT', '/rest-at'),
      page('Use CommonJS and Jest', '/commonjs-and-jest'),
      page('Run the shop as services', '/samples/services'),
      page('Send messages with the commit', '/samples/messages'),
      page('Start from an empty application', '/samples/consumer'),
      page('Start from CommonJS', '/samples/commonjs'),
    ],
  },
  {
    text: 'Operation',
    items: [
      page('Operate', '/operating'),
      page('Runbook', '/runbook'),
      page('Deploy', '/deployment'),
      page('Upgrade', '/upgrade'),
      page('Manifests', '/deploy'),
      page('Run members', '/members'),
      page('Scale', '/scale'),
      page('Metrics', '/metrics'),
      page('Traces', '/tracing'),
      page('See a trace', '/samples/tracing'),
      page('Traces with a collector', '/samples/telemetry'),
    ],
  },
  {
    text: 'Reference',
    items: [
      page('Options', '/options'),
      page('Errors', '/errors'),
      page('Module and manager', '/module'),
      {
        ...page('API', '/reference/'),
        collapsed: true,
        items: ENTRIES.map((entry) => page(entry, `/reference/${entry}/`)),
      },
      page('Changelog', '/changelog'),
    ],
  },
  {
    text: 'Proofs',
    items: [
      page('What is proven', '/proof'),
      page('Faults', '/faults'),
      page('Mutation testing', '/mutation-testing'),
      page('Figures', '/bench'),
      page('Results', '/results'),
      page('Comparison', '/comparison'),
    ],
  },
  {
    text: 'Project',
    items: [page('Contribute', '/contributing'), page('Security', '/security')],
  },
];

export const NAVIGATION: DefaultTheme.NavItem[] = [
  { text: 'Tutorial', link: '/tutorial' },
  { text: 'Concepts', link: '/concepts' },
  { text: 'Runbook', link: '/runbook' },
  { text: 'API', link: '/reference/' },
];
