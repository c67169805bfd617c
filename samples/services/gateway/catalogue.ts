/** The products on sale, and their prices in cents. */
export const PRICES: Readonly<Record<string, number>> = {
  keyboard: 5_990,
  monitor: 24_900,
  'usb-cable': 990,
  mouse: 2_490,
  headset: 8_900,
  webcam: 6_450,
  'last-lamp': 3_450,
};
