import 'reflect-metadata';
import { Logger } from '@nestjs/common';

// Tests about log lines read them. In all other tests they are noise.
Logger.overrideLogger(false);
