import { defineConfig } from 'vitepress';
import { NAVIGATION, SIDEBAR } from './navigation.ts';
import { addressOf, anchorOf, linksOfPages, tagsAsText } from './pages.ts';

/** The site is made of the documents of the repository, as they are. */
export default defineConfig({
  title: 'nestjs-dtc',
  description:
    'A distributed transaction coordinator for NestJS: several services commit together or not at all.',
  lang: 'en',
  srcDir: '..',
  // The reports of the public types, copies, and what belongs to tests.
  srcExclude: ['packages/**', 'test/**', 'build/**', 'coverage/**', 'data/**', 'dashboard/**'],
  outDir: '../build/site',
  cacheDir: '../build/site-cache',
  rewrites: addressOf,
  // What a link leads to is checked after the build, with its heading.
  ignoreDeadLinks: false,
  lastUpdated: false,
  markdown: {
    anchor: { slugify: anchorOf },
    config: (markdown) => void markdown.use(tagsAsText).use(linksOfPages),
  },
  themeConfig: {
    nav: NAVIGATION,
    sidebar: SIDEBAR,
    outline: [2, 3],
    search: { provider: 'local' },
    docFooter: { prev: false, next: false },
  },
});
