import { type ReactNode, useEffect, useRef, useState } from "react";
import "./Scrolls.css";

/** A table that is scrolled sideways where it does not fit, also by keyboard. Only there, it is a stop for Tab. */
export function Scrolls({ label, children }: { label: string; children: ReactNode }) {
	const place = useRef<HTMLDivElement>(null);
	const [isCut, setCut] = useState(false);
	useEffect(() => {
		const [outer, inner] = [place.current, place.current?.firstElementChild];
		if (!outer || !inner) return;
		const observer = new ResizeObserver(() => setCut(outer.scrollWidth > outer.clientWidth));
		observer.observe(outer);
		observer.observe(inner);
		return () => observer.disconnect();
	}, []);
	return (
		<div
			ref={place}
			className="scrolls"
			{...(isCut && { role: "region", "aria-label": `Table: ${label}`, tabIndex: 0 })}
		>
			{children}
		</div>
	);
}
