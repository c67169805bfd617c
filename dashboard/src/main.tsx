import { render } from 'preact';
import './styles/index.css';
import { Entry } from './entry.js';

render(<Entry />, document.querySelector('#app')!);
