import type { ReactNode } from "react";
import "./Scrolls.css";

/** A table that is scrolled sideways where it does not fit, also by keyboard. */
export function Scrolls({ label, children }: { label: string; children: ReactNode }) {
	return (
		// biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
		<section className="scrolls" aria-label={`Table: ${label}`} tabIndex={0}>
			{children}
		</section>
	);
}
