import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Help } from "./Help";
import { Jobs } from "./JobTray";
import { useKeys } from "./keys";
import { MarkBar } from "./MarkBar";
import { Menu } from "./Menu";
import "./Shell.css";

// It is loaded when it is opened.
const Palette = lazy(() => import("./Palette"));

/** What stands around every screen: the bar, the palette, the help. */
export function Shell() {
	const [opened, setOpened] = useState<"palette" | "help" | null>(null);
	const close = () => setOpened(null);
	useKeys({ palette: () => setOpened("palette"), help: () => setOpened("help") });
	return (
		<>
			<a className="skip" href="#screen">
				Skip to the content
			</a>
			<header className="bar">
				<Link to="/" className="brand" aria-label="SCV: library">
					SCV
				</Link>
				<Menu />
				<button type="button" className="search" onClick={() => setOpened("palette")}>
					Find <kbd>Ctrl K</kbd>
				</button>
				<Jobs />
				<button type="button" aria-label="Keyboard help" onClick={() => setOpened("help")}>
					?
				</button>
			</header>
			<Screen />
			<MarkBar />
			{opened === "palette" && (
				<Suspense>
					<Palette onClose={close} />
				</Suspense>
			)}
			{opened === "help" && <Help onClose={close} />}
		</>
	);
}

/** The screen itself. The focus follows when another one comes, so that screen readers begin at its start. */
function Screen() {
	const path = useRouterState({ select: (state) => state.resolvedLocation?.pathname });
	const place = useRef<HTMLElement>(null);
	const shown = useRef(path);
	useEffect(() => {
		if (shown.current !== undefined && shown.current !== path) place.current?.focus();
		shown.current = path;
	}, [path]);
	return (
		<main id="screen" ref={place} tabIndex={-1}>
			<Outlet />
		</main>
	);
}
