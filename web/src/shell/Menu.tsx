import { Link, useRouterState } from "@tanstack/react-router";
import { useRef } from "react";
import { SCREENS } from "./screens";
import "./Menu.css";

/** Links to the screens: in the bar, or where that is too narrow, in a list that a button opens. */
export function Menu() {
	const list = useRef<HTMLElement>(null);
	// Models and what they consist of are parts of the library.
	const isInLibrary = useRouterState({ select: ({ location }) => location.pathname.startsWith("/models/") });
	return (
		<>
			<button type="button" className="menu-button" popoverTarget="menu">
				Menu
			</button>
			<nav ref={list} id="menu" aria-label="Screens" popover="auto">
				{SCREENS.map(({ to, name }) => (
					<Link
						key={to}
						to={to}
						activeOptions={{ exact: to === "/", includeSearch: false }}
						aria-current={to === "/" && isInLibrary}
						onClick={() => list.current?.hidePopover()}
					>
						{name}
					</Link>
				))}
				<a href="/graphiql">GraphiQL</a>
			</nav>
		</>
	);
}
