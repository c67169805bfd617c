declare module 'virtual:runbook' {
  const sections: import('../runbook-sections.js').RunbookSections;
  export default sections;
}
